"""Chinese characters."""

# For a class of a regular expression: 々, 〆 and 〇, the unified ideographs with their extensions (planes 2 and 3 are kept for
# more of them), and those for compatibility.
HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
