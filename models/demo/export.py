"""Writes models/demo/export/, the model in Hugging Face layout, from build/state.pt and build/tokenizer.json."""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from net import Shape
from tokenizer import BEGIN, END, SPECIAL, TURN_END, TURN_START

HERE = Path(__file__).parent
BEGIN_ID, END_ID, TURN_END_ID = SPECIAL.index(BEGIN), SPECIAL.index(END), SPECIAL.index(TURN_END)
# A turn ends with TURN_END, plain text with END: either stops an answer.
EOS_IDS = [TURN_END_ID, END_ID]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '" + TURN_START + "' + message['role'] + '\n' + message['content'] + '" + TURN_END + "' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '" + TURN_START + "assistant\n' }}{% endif %}")


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def export(state, tokenizer, out):
    out.mkdir(parents=True, exist_ok=True)
    weights = torch.load(state, map_location="cpu")["model"]
    save_file({name: w.to(torch.bfloat16).contiguous() for name, w in weights.items()}, out / "model.safetensors",
              metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    shutil.copyfile(tokenizer, out / "tokenizer.json")
    ids = {"bos_token_id": BEGIN_ID, "eos_token_id": EOS_IDS}
    special = {"bos_token": BEGIN, "eos_token": TURN_END, "pad_token": END}
    write_json(out / "config.json", dict(Shape().config(), **ids))
    write_json(out / "generation_config.json", dict(ids, do_sample=False, max_new_tokens=256))
    write_json(out / "special_tokens_map.json", special)
    write_json(out / "tokenizer_config.json", dict(
        special, tokenizer_class="PreTrainedTokenizerFast", model_max_length=Shape().max_position,
        clean_up_tokenization_spaces=False, chat_template=CHAT_TEMPLATE,
        added_tokens_decoder={str(i): {"content": mark, "special": True, "lstrip": False, "rstrip": False,
                                       "normalized": False, "single_word": False} for i, mark in enumerate(SPECIAL)}))
    for file in sorted(out.iterdir()):
        print(f"{file.stat().st_size:9d} {file.name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=HERE / "build" / "state.pt")
    parser.add_argument("--tokenizer", type=Path, default=HERE / "build" / "tokenizer.json")
    parser.add_argument("--out", type=Path, default=HERE / "export")
    args = parser.parse_args()
    export(args.state, args.tokenizer, args.out)


if __name__ == "__main__":
    main()
