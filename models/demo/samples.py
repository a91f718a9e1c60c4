"""Prints what the exported model answers, read back with Hugging Face transformers: a check of the files in
export/ by another implementation, and the samples of the card."""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).parent
CHAT = ["What is prompteur?", "Hello!", "how do i start it", "What does --max-concurrent-requests do?",
        "Why do I get a 429?", "Can I stream the answer?", "Tell me a story about an owl.",
        "What is the capital of France?", "What does --hyper-drive do?"]
PLAIN = ["What is prompteur?", "Once upon a time", "The KV cache", "How do I send a request?"]


def answer(model, tokenizer, ids, temperature):
    torch.manual_seed(1)
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=220, **sampling)[0, ids.shape[1]:]
    ended = out[-1].item() in model.generation_config.eos_token_id
    return tokenizer.decode(out, skip_special_tokens=True), ended


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=HERE / "export")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.bfloat16)
    prompts = [("chat", p) for p in CHAT] + [("plain", p) for p in PLAIN]
    for kind, prompt in prompts:
        text = prompt
        if kind == "chat":
            turn = [{"role": "user", "content": prompt}]
            text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=kind == "plain", return_tensors="pt").input_ids
        assert ids[0, 0] == tokenizer.bos_token_id and ids[0, 1] != tokenizer.bos_token_id
        print(f"[{kind}] {prompt}")
        for temperature in (0, 0.7):
            said, ended = answer(model, tokenizer, ids, temperature)
            print(f"  {f'T={temperature}' if temperature else 'greedy'}{'' if ended else ' (cut)'}: {said!r}")


if __name__ == "__main__":
    main()
