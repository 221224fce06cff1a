"""Characters that tokenizers stumble over, by what is hard about them."""

import sys
import unicodedata

# fmt: off
BLANKS = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
# No blanks to Python or Unicode, but to somebody.
NEARLY_BLANKS = [
    "\u200b", "\u200c", "\u200d", "\u2060", "\u180e", "\ufeff", "\u2800", "\u3164", "\u00ad",
    "▁", "Ġ", "Ċ", "␣",
]
CONTROLS = [*map(chr, (*range(0x20), *range(0x7F, 0xA0)))]
MARKS = [
    "\u0300", "\u0301", "\u0302", "\u0308", "\u030a", "\u0323", "\u0327", "\u0328", "\u0331",
    "\u0338", "\u0345", "\u034f", "\u0307", "\u0483", "\u05b0", "\u05bc", "\u064b", "\u0651",
    "\u0670", "\u093c", "\u094d", "\u09be", "\u0b57", "\u0e31", "\u0e49", "\u0f39", "\u1dc4",
    "\u20d0", "\u20e3", "\u3099", "\u309a", "\ua9c0", "\ufe20", "\ufe0e", "\ufe0f", "\U0001d165",
    "\U000e0100", "\U000e0062",
]
JAMO = [*map(chr, (*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A8, 0x11C3)))]
KANA = [
    *map(chr, range(0xFF61, 0xFFA0)), "ﾊﾞ", "ﾊﾟ", "ｳﾞ", "か\u3099", "は\u309a", "ゟ", "ヿ", "㍿",
    "゛", "゜", "パン", "ー",
]
CJK = [
    *"的一是不了人我面包哈中文日本語漢字", "\u3400", "\u4dbf", "\u9fff", "\uf900", "\ufa0e",
    "\ufa30", "\U00020000", "\U0002a6df", "\U0002b740", "\U0002f800", "\U00030000", "〇", "々",
    "。", "、", "「", "」", "！", "，", "　", "·",
]
EMOJI = [
    "🍞", "👍🏽", "👩\u200d👩\u200d👧\u200d👦", "🇩🇪", "🇩", "❤\ufe0f", "❤", "☺\ufe0e",
    "1\ufe0f\u20e3", "#\u20e3", "🏴\U000e0067\U000e0062\U000e007f", "🧑🏿\u200d🚀", "\u200d",
    "🏳\ufe0f\u200d🌈",
]
CASES = [  # whose other case is longer, another, or depends on what follows
    "İ", "ı", "ß", "ẞ", "Σ", "σ", "ς", "ΑΣ", "Σ.", "Ǆ", "ǅ", "ŉ", "ΐ", "ᾳ", "ᾼ", "Ω", "K", "Å",
    "ſ", "ﬅ", "Ⅷ", "ⓐ", "Ꭰ", "ꭰ", "Ⴀ", "ა", "Ა", "Ɐ", "𐐀", "𝐀", "ﬁ", "ﬃ", "ĳ", "Ĳ",
]
COMPOSED = [  # whose normal forms are others, longer, or in another order
    "é", "e\u0301", "Å", "ά", "ά", "ệ", "ộ", "ñ", "½", "²", "①", "㈱", "㎏", "ﷺ", "﷽", "ﬀ", "ﾡ",
    "豈", "｢", "Ａ", "ａ", "０", "〜", "～", "…", "‥", "™", "№", "℃", "Ω", "가", "각", "힣",
    "क़", "\u0958", "\u0fb2\u0f71\u0f80", "\u0344", "\u1e9b\u0323", "̈́", "\u2126", "\u212b",
    "\u1fef", "\u037e", "\u2000", "\u3000", "\uffa0", "\u00b4", "\u00a8", "¨\u0301", "\u1fbd",
    "\u017f", "\ud7a4",
]
SCRIPTS = [
    "хлеб", "ΑΒΓ", "ไทย", "กำ", "हिन्दी", "क्षि", "தமிழ்", "العربية", "لا", "עברית", "שלום",
    "ქართული", "ខ្មែរ", "မြန်မာ", "ལྷ་ས", "ᠮᠣᠩᠭᠣᠯ", "አማርኛ", "ދިވެހި", "𐎀𐎁", "𒀀", "𞤀𞤣", "१२३",
    "٣٤", "๕", "۱۲", "𝟘𝟙", "Ⅻ", "\u202e", "\u202c", "\u200f", "\u061c", "\u2066",
]
EDGES = [  # of planes, of what may be said in UTF-8, and what is nobody's
    "\ud7ff", "\ue000", "\uf8ff", "\ufffd", "\ufffe", "\uffff", "\ufdd0", "\ufdef", "\U00010000",
    "\U0001ffff", "\U000e0001", "\U000f0000", "\U0010fffd", "\U0010ffff", "\u0378", "\u0080",
    "\u07ff", "\u0800", "\x7f", "\x00", "\ufff9",
]
PUNCTUATION = [
    *"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "¡", "¿", "«", "“", "”", "‘", "’", "‐", "–", "—", "…",
    "§", "¶", "·", "†", "€", "£", "°", "×", "÷", "¬", "``", "''", "--", "...", "::",
]
# fmt: on

HARD = (
    BLANKS, NEARLY_BLANKS, CONTROLS, MARKS, MARKS, JAMO, KANA, CJK, EMOJI, CASES, COMPOSED, SCRIPTS,
    EDGES, PUNCTUATION,
)  # fmt: skip


ASSIGNED = [
    code
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")
]
