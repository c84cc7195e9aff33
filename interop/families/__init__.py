"""The name tables, one file a family."""

from interop.families.bert import BERT, ROBERTA
from interop.families.gpt2 import GPT2
from interop.families.llama import LLAMA, MISTRAL, QWEN2, QWEN3
from interop.families.t5 import MT5, T5
from interop.family import Family

# In the order in which a network that several could be takes one.
FAMILIES: dict[str, Family] = {
    family.model_type: family for family in (GPT2, LLAMA, MISTRAL, QWEN2, QWEN3, BERT, ROBERTA, T5, MT5)
}
