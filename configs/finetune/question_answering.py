"""Answers that stand in a text, as in SQuAD and CMRC, told by an encoder that starts from runs/bert_tiny, or init_from."""

from configs import base


def get_config():
    config = base.get_config()
    config.task = "question_answering"
    config.init_from = "runs/bert_tiny"
    config.model.update({"head": "classes", "dropout": 0.1})
    config.data.update(
        {
            # each row: {"context": …, "question": …, "answers": {"text": […], "answer_start": […]}}
            "train": ("questions.jsonl",),
            "valid_fraction": 0.2,  # of the contexts: all questions on a text are on one side
            "sequence_length": 128,
            "packing": "pad",  # a window of a text a row
        }
    )
    config.optimizer.update({"learning_rate": 5e-4, "schedule": "linear", "warmup_steps": 40, "weight_decay": 0.01})
    config.optimizer.update({"b2": 0.999, "final_fraction": 0.0})
    config.training.update({"num_steps": 800, "batch_size": 32, "eval_every": 200, "checkpoint_every": 200})
    config.training.sample_prompts = ()
    return config
