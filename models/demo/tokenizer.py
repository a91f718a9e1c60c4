"""Trains the byte-level BPE tokenizer on build/corpus.jsonl and writes build/tokenizer.json.

encode_document is the one place that says how a document becomes tokens; export.py writes the same rule down as a
chat template.
"""

import argparse
import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
BEGIN, END, TURN_START, TURN_END = "<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"
SPECIAL = [BEGIN, END, TURN_START, TURN_END]  # their ids are their places
N_VOCAB = 2048
# Words with the space before them, numbers of up to three digits, runs of other marks, line ends, spaces.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")


def new_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN}:1 $B:1", special_tokens=[(BEGIN, 0)])
    return tokenizer


def train(texts):
    tokenizer = new_tokenizer()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=N_VOCAB, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    return tokenizer


def document_text(document):
    """The document with its marks; the begin mark is the tokenizer's to add."""
    if "text" in document:
        return document["text"] + END
    turns = [f"{TURN_START}{m['role']}\n{m['content']}{TURN_END}\n" for m in document["messages"]]
    return "".join(turns) + END


def contents(path, limit):
    with path.open() as lines:
        for i, line in enumerate(lines):
            if i == limit:
                return
            document = json.loads(line)
            yield document["text"] if "text" in document else "\n".join(m["content"] for m in document["messages"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=HERE / "build" / "corpus.jsonl")
    parser.add_argument("--documents", type=int, default=30_000, help="documents that merges are counted on")
    parser.add_argument("--out", type=Path, default=HERE / "build" / "tokenizer.json")
    args = parser.parse_args()
    tokenizer = train(contents(args.corpus, args.documents))
    tokenizer.save(str(args.out))
    print(f"{args.out}: {tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
