"""Answers that stand in a text, as in SQuAD and CMRC, told by an encoder that starts from runs/bert_tiny, or init_from."""

from configs.finetune import classification


def get_config():
    config = classification.get_config()
    config.task = "question_answering"
    # each row: {"context": …, "question": …, "answers": {"text": […], "answer_start": […]}}; a window of a text a row
    config.data.update({"train": ("questions.jsonl",), "label_field": "label", "sequence_length": 128})
    config.training.update({"num_steps": 800, "eval_every": 200, "checkpoint_every": 200})
    return config
