"""Texts that tokenizers trip over, and small vocabularies to cut them with. All our own."""

# Every script of TEXTS has some words here, so that vocabularies made from it know parts of most texts.
TRAINING = """
the cat sat on the mat and the other cats sat there too. hello, hello world! isn't it? they're here, we'd go, I'll see.
The Quick Brown Fox jumps over 12 lazy dogs, 345 times; under_score camelCase x = y + 1; return a[i] != b[i];
unaffable embedding embeddings tokenization tokenizer tokens lowering lowest newest widest running runner runs
Größe Straße straße ΣΊΣΥΦΟΣ Σίσυφος οδός naïve café déjà Ångström coöperate İstanbul ısı DİYARBAKIR
Привет мир, ещё ёлка, объём. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया क्षि. สวัสดีครับ ไทย. 안녕하세요 세계 한국어.
今日は東京で会議です。カタカナ、ひらがな。你好世界，我们在这里。 👩‍👩‍👧 🦙🦙 👍🏽 🇩🇪🇫🇷 ☃️ ①② ﬁn ﬀ ㎏ Ⅷ ½
"""

TEXTS = [
    # nothing, and next to nothing
    "", " ", "  ", "   ", " " * 17, "\t", "\n", "\r", "\r\n", "\n\n", "\r\n\r\n", " \n", "\n ", " \n \n ", "\t \t", "a", " a", "a ",
    " a ", "  a  ", "a  b", "a   b", "a\nb", "a \n b", "a\n\n\nb", "a\r\n\r\nb\r\r\nc\n\r", "\n\n  a", "a  \n\n", "\t\ta\t\t", "0", "-", "é",
    "中", "🦙", "\u0000", "\ufffd", "▁", "▁▁", "Ġ", "##", "</w>", "<0x0A>", "<unk>",
    # plain words and their edges
    "the cat sat on the mat", "The cat, sat; on: the - mat!?", "Hello, world! Hello world.", "hello,world", "unaffable tokenization",
    "isn't they're we'd I'll I'm you've it's 'tis '' ' don''t", "ISN'T THEY'RE WE'D I'LL I'M YOU'VE", "running runner's runs lowest newest",
    "a.b.c d,e,f", "...a", "a...", "!!!", "?!?!", "\"quoted\" 'single' `tick`", "(a)(b) [c] {d} <e>", "x=y+1;z!=w", "under_score __init__ a_b",
    "camelCase PascalCase ABCdef abcDEF aB Ab", "e-mail - dash -- long --- longer", "1,000.50 $3 €4 50% #5 @6", "C++ C# .NET a/b\\c", "http://a.b/c?d=e&f#g",
    "the cat .", "the , cat", "do n't ca n't", "it 's he 'm we 've they 're", "a ' b", "cat ! dog ?", " .", " ?x", "a .b", "a , b . c ! d ?",
    # digits
    "1", "12", "123", "1234", "1234567890", "1 2 3", "a1b22c333", "1a", "a1", "٣٤٥", "१२३", "１２３", "½", "①②", "Ⅷ", "x²", "10⁻³", "𝟘𝟙𝟚", "3.14", "0x1F",
    # upper and lower case that is not one to one
    "İstanbul ıI iİ", "DİYARBAKIR ISPARTA", "Straße STRASSE ẞ ß", "ΣΊΣΥΦΟΣ ὈΔΥΣΣΕΎΣ Σ ΑΣ ΑΣ. ΑΣΑ", "ﬁ ﬀ ﬃ ŉ ǰ ΐ ΰ և", "ǅ Ǆ ǆ ǈ", "K Å Ω ℃", "ᾼ ᾳ ᾈ ῼ",
    "Ა ა ᲀ Ꭰ ꭰ", "𝐀𝐛 𝕳𝖊 ℌ", "ʼn Ⱥ ⱥ Ɐ", "ϓ ϔ ẛ ſ",
    # composed, decomposed, and marks where none belong
    "é e\u0301 É E\u0301", "Å A\u030a \u212b", "ệ e\u0323\u0302 e\u0302\u0323 ẹ\u0302 ê\u0323", "a\u0301\u0302\u0303\u0304\u0305", "\u0301", "\u0301\u0302a", " \u0301 ",
    "a\u0300\u0316\u0317b", "q\u0307\u0323 q\u0323\u0307", "naïve café déjà vu coöperate", "Ångström Größe", "क्षि नमस्ते ज़ क़ ऩ", "ไทย กำ น้ำ", "ก็ \u0e33",
    "\u1100\u1161 \u1100\u1161\u11a8 가 각 \u1100 \u1161 \u11a8 가\u11a8", "한국어 한 ㄱㄴ ﾡ", "が か\u3099 ｶﾞ ゛ \u3099", "パ ﾊﾟ ハ\u309a", "שָׁלוֹם \ufb2c ש\u05c1\u05bc", "אבג\u05b0",
    "مَرْحَبًا ﷺ ﻻ لا", "\u0344 \u0340 \u0343 \u0374 \u037e \u0387", "\u0f71\u0f72\u0f74 \u0f73", "ḍ̇ d\u0323\u0307", "\u1e9b\u0323", "Zalgo t̴̰͝e̶̛͔s̵̰̈t̷̯̕", "a\u20dd 1\u20e3", "\ua66f\u0483\u0488",
    # joined emoji, flags, variation selectors
    "👩‍👩‍👧‍👦", "👍🏽👍🏿👍", "🇩🇪🇫🇷🇺", "🏳️‍🌈☃️☃︎", "🦙🦙🦙", "a🦙b", " 🦙 ", "1️⃣#️⃣", "😶‍🌫️x", "\U0001f468\u200d", "\u200d\u200d", "🫠🫨🪿",
    # right to left, and what steers it
    "שלום עולם", "مرحبا بالعالم", "abc שלום 123 مرحبا", "\u202eabc\u202c", "\u200fa\u200e", "\u2066x\u2069",
    # scripts
    "Привет, мир! Ещё ёлка.", "今日は東京で会議です。", "你好世界，我们在2024年见面。", "カタカナひらがな漢字abcｶﾀｶﾅ", "안녕하세요 세계", "ქართული հայերեն አማርኛ", "中a文b字", "漢字kanji漢字", "ー々〆〇ヶ",
    "𠀀𠜎㐀豈﨎丽", "\U0002f800\U0002fa1d", "中。文、字", "абвabcабв", "αβγabc",
    # white space of every kind
    "a\u00a0b", "\u00a0", "a\u0085b", "\u0085", "\u2028\u2029", "a\u2003b\u2009c\u3000d", "\u3000中\u3000", "\u200b", "a\u200bb", "\ufeffa\ufeff", "a\u180eb", "\u1680x\u205f",
    "a\u00adb", "\x0b\x0c", "a\x1cb\x1dc\x1ed\x1fe", "\u2060a", "a\u00a0 \u00a0b", " \u00a0a",
    # control characters, private use, what is no character
    "\x01\x02\x7f\x80\x9f", "a\x00b", "\x1b[31mred\x1b[0m", "\ue000\uf8ff", "\ufffe\uffff", "\U0010ffff\U000f0000", "\ufffd\ufffda", "a\ufffd", "\ud7ff\ue000", "\u0378\u0e5c", "\U000e0001\U000e007f",
    "\u061c\u2061\ufff9\ufffb", "\u034f a\u034fb", "ᅟ ㅤ ﾠ",
    # compatibility forms
    "ﬁn ﬀ ㎏ ™ ℃ Ⅻ ｆｕｌｌ ﾊﾝ", "…‥・ ﹏ ﹣－", "“a” ‘b’ «c» „d‟", "– — ― ‐ ‑ − ～ 〜", "㋿ ㍿ ﷽", "ª º ¹ ¼ µ · ¸ ´ ¨", "\u2126\u2000\u2001", "㈠㊀🄀🅰🆎", "⑴⒈ⓐ", "ℵ ⅓ ⅟", "豈 更 \ufa0e",
    "+<=>|~^`$ ×÷±∑∀ ¬", "©®¶§†‡•", "₀₁ ⁴⁵ ⅠⅡ", "¡¿‽⁇", "֊־⸺〰", "·։،؛؟।॥", "‿⁀_﹍", "৳฿₿¤",
    # what other tokenizers write
    "▁the ▁▁cat▁", " ▁ a", "Ġthe Ċ ĉ Ä ł", "##ing un##aff", "the</w> cat</w>", "<0xE4><0xBD><0xA0> <0xZZ> <0x1>", "<unk> <s> </s> [CLS] [SEP]", "| a | b |", "<pad>", "a|b||c",
    # runs
    "a" * 64, "ab" * 50, "é" * 40, "中" * 40, "🦙" * 20, "!" * 40, "1" * 40, " " * 64 + "a", "\n" * 20, "a " * 40, "cat" * 30, "\u0301" * 30, "▁" * 20, "'s" * 20, "a\u0301" * 30,
    "\u1100\u1161\u11a8" * 8, "x" * 101, "x" * 100, "가" * 20, "\r\n" * 10, "." * 3 + " " * 3 + "." * 3, "İ" * 20, "ß" * 20,
]

# One of each kind of long run; only some tokenizers get them.
LONG = ["a" * 100_000, "中" * 30_000]
LONG += [unit * (10_000 // len(unit)) for unit in (" ", "\n", "1", "!", "🦙", "the cat ", "e\u0301", "\u0301")]
