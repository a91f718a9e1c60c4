"""A text of many kinds for measuring tokenizers: this project's own sources and pages, sentences in many scripts in
random order, made-up words, numbers, emoji. The same bytes for the same size and seed."""

import random
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SENTENCES = """The committee will publish its findings before the end of the quarter, unless somebody objects.
When the rain stopped, she walked down to the harbour and counted the boats that had come back.
Die Sitzung wurde verschoben, weil die Übersetzung der Verträge länger dauerte als geplant.
Le train de nuit s'arrête à chaque gare; les voyageurs dorment, le contrôleur lit un roman.
La cosecha de este año fue mejor que la anterior, según los agricultores de la región.
O navio chegou ao porto às cinco da manhã, carregado de café, açúcar e madeira.
Туман над рекой рассеялся, и мы увидели старый мост, по которому никто уже не ходил.
Η αγορά ανοίγει νωρίς το πρωί και κλείνει όταν τελειώσουν τα ψάρια.
Pociąg odjechał punktualnie, chociaż śnieg padał od północy i zasypał drogi.
Kış geldiğinde dağ köylerine giden yollar kapanır ve herkes evinde hikâyeler anlatır.
今日は朝から雨が降っていたので、図書館で古い地図を見ながら一日を過ごした。
新しい駅の前に小さな本屋ができて、毎週土曜日に子どもたちが集まる。
会议定于下周三上午九点在二楼举行，请各部门提前准备好相关材料。
春天来了，河边的柳树发芽，孩子们在草地上放风筝，老人坐在长椅上聊天。
오늘은 날씨가 맑아서 친구와 함께 산에 올라가 도시락을 먹었습니다.
المكتبة مفتوحة كل يوم من الساعة التاسعة صباحا حتى الخامسة مساء.
הספרייה נמצאת ליד הגשר הישן, מול בית הקפה שבו נפגשים הסופרים.
नदी के किनारे बसे गाँव में हर साल मेला लगता है और दूर-दूर से लोग आते हैं।
ตลาดเช้าเปิดตั้งแต่ตีห้า มีผักสด ปลา และขนมไทยมากมาย
Buổi sáng mùa thu, mặt hồ phẳng lặng như một tấm gương lớn.""".splitlines()
EMOJI = "😀 🚀 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 ❤️ ✅ 🎉 ☕ 🌍".split()
SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo yu za stra blen grim th sh ck ng tion ing er".split()


def sources():
    files = sorted(p for pattern in ("src/**/*.c", "src/**/*.h", "*.md", "docs/*.md") for p in ROOT.glob(pattern))
    return "\n".join(p.read_text() for p in files if p.is_file())


def word(rng):
    made = "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 4)))
    return made.capitalize() if rng.random() < 0.15 else made


def line(rng):
    kind = rng.random()
    if kind < 0.6:
        sentence = rng.choice(SENTENCES)
        words = sentence.split(" ")
        rng.shuffle(words)
        return " ".join(words) if rng.random() < 0.7 else sentence
    if kind < 0.85:
        return " ".join(word(rng) for _ in range(rng.randint(4, 16))) + "."
    if kind < 0.95:
        return " ".join(str(rng.randint(0, 10 ** rng.randint(1, 9))) for _ in range(rng.randint(2, 8)))
    return "".join(rng.choice(EMOJI) + " " * rng.randint(0, 1) for _ in range(rng.randint(1, 6)))


def mixed_text(size_bytes=1 << 20, seed=1):
    """About size_bytes of UTF-8, 40 % of it sources."""
    rng = random.Random(seed)
    parts, size = [sources().encode()[: size_bytes * 2 // 5].decode(errors="ignore")], 0
    size = len(parts[0].encode())
    while size < size_bytes:
        parts.append(line(rng))
        size += len(parts[-1].encode()) + 1
    return "\n".join(parts)


if __name__ == "__main__":
    import sys

    sys.stdout.buffer.write(mixed_text(int(sys.argv[1]) if len(sys.argv) > 1 else 1 << 20).encode())
