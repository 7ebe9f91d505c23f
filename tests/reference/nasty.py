"""A page of text that tokenizers get wrong: written by make_text.py into the fixtures, and compared with llama.cpp by hand."""

PIECES = [
    "Hello, world! It's 12:34 o'clock; we'll say they'VE DON'T 'tis 'S 's'd.\n",
    "naïve café — “quotes” ‘single’ … ¿qué? ¡sí! ß ſ İ ı ǆ ﬁ Å Å e\u0301 a\u0308\n",
    "漢字かなカナ、한국어 텍스트。中文没有空格的句子！ｆｕｌｌｗｉｄｔｈ　ｓｐａｃｅ\n",
    "مرحبا بالعالم، كيف حالك؟ ۱۲۳ שלום עולם नमस्ते दुनिया क्षत्रिय สวัสดีชาวโลก ကောင်းပါ၏ Привет, мир! Ωμέγα\n",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ 🫠 ☺ ©®™ 🅰️ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𠜎𠜱𠝹\n",
    "zero\u200bwidth\u200cjoin\u200der\u2060\ufeffbom rtl\u202eoverride\u202c soft\u00adhyphen nbsp\u00a0\u202f\u2003em\u2028line\u2029para\x85nel\n",
    "controls: \x01\x02\x07\x08\x0b\x0c\x1b[31mred\x1b[0m\x7f \x80\x9f \ufffd \ufffe \U0010ffff \ue000\n",
    "spaces:  two   three    four     five      six" + " " * 40 + "forty \t tab \t\t tabs\t\t\t \n \n\n  \n\n\n\t\n",
    "\r\nwindows\r\n\r\nlines\r\rold\n\r",
    "fn main() {\n    let x: Vec<u8> = vec![0x1F, 1_000_000, 3.14e-10];\n\tif x != y && a->b || !c { return; } // done\n}\n\n",
    "def f(self, *args, **kwargs):\n        \"\"\"doc\"\"\"\n        return {k: v for k, v in args if k >= 10**9}\n#include <stdio.h>\n",
    "https://example.org/a/b?c=d&e=%20f#g user.name+tag@mail.example C:\\path\\to\\file.txt $HOME/.config ~/x\n",
    "1 12 123 1234 12345 123456 1234567 0.001 1,234,567.89 ½ ² ①② Ⅷ ٣٤٥ १२३ 10% -5 +7 3×4÷2=6 x² 1st 2nd\n",
    "<|im_start|>user\n<|im_end|> <|endoftext|><s></s> <bos><eos><start_of_turn>model<end_of_turn> <unk> <0x0A> [INST] <|im_end|\n",
    "▁lower▁one▁eighth ▁▁ Ġ Ċ ĠĠ <0xE2> ##ing\n",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA " + "ab" * 60 + " ........................ ------======###### !!!???\n",
    "camelCaseHTTPServer2Go snake_case_name SCREAMING_CASE kebab-case-ÀÉÎÕÜ éàü ĲSSEL ǅungla iPhone12Pro\n",
    "<table><tr><td>x</td></tr></table>\n```rust\nlet a = 1;\n```\n| a | b |\n|---|---|\n\n\n\n* item\n  * sub\n    1. x\n",
    "   trailing and leading   ",
]
PAGE = "".join(PIECES)
