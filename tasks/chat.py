"""Dialogues: a decoder learns to write the assistant's turns, and only reads the others."""

from tasks.causal_lm import learn_marked
from tasks.cross_entropy import token_loss
from tasks.task import Task

CHAT = Task(("decoder",), lambda packed, tokenizer, config, network: learn_marked, token_loss, examples="messages")
