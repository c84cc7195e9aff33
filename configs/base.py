"""The default run, and every key there is: a small Llama-style model on bilingual text, minutes on two CPU cores.

Other configs call `get_config()` and change a few lines. None means: worked out from the other settings.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict(
        {
            "seed": 0,  # of the initialization, the order of the data and dropout
            "task": "causal_lm",  # what is learned; tasks/__init__.py lists them
            "init_from": "",  # a run's or converted folder to start from: parameters, shapes of the network, tokenizer
            "model": {
                "vocab_size": None,  # None: the tokenizer's; above it, rows that are never used
                "max_length": None,  # longest text in tokens, prompt included; None: data.sequence_length
                "decoder_layers": 4,  # alone: a GPT or a Llama
                "encoder_layers": 0,  # alone: a BERT; with decoder layers: a T5
                "embed_dim": 160,  # width of the residual stream
                "num_heads": 4,  # query heads
                "num_kv_heads": None,  # key/value heads, fewer for grouped queries; None: num_heads
                "head_dim": None,  # None: embed_dim / num_heads
                "mlp_dim": 448,  # hidden width of the feed-forward; None: 4 embed_dim
                "norm": "rmsnorm",  # layernorm | rmsnorm
                "norm_position": "pre",  # pre | post (the residual addition)
                "norm_eps": 1e-5,
                "embedding_norm": False,  # a norm on the embeddings (BERT)
                "position": "rope",  # learned | sinusoidal | rope | relative_bias (T5) | none
                "position_offset": 0,  # the first learned position in use (RoBERTa: 2)
                "num_token_types": 0,  # rows of BERT's token type embedding
                "rope_theta": 10000.0,
                "rope_scaling": "none",  # for longer texts: none | linear | llama3 | yarn
                "rope_factor": 1.0,  # how much longer
                "rope_original_length": None,  # than this; None: max_length
                "rope_low_rotations": 1.0,  # llama3 and yarn: pairs that turn less often in that length are slowed in full
                "rope_high_rotations": 32.0,  # and those that turn more often are left alone (llama3: 4)
                "relative_buckets": 32,  # rows of relative_bias
                "relative_max_distance": 128,  # from which on all tokens share a bucket
                "bidirectional_prefix": None,  # a prompt's tokens see each other both ways; None: if the task is prefix_lm
                "sliding_window": None,  # see only tokens less than so many places away (Mistral)
                "activation": "swiglu",  # relu | gelu | gelu_tanh | swiglu | geglu
                "use_bias": False,  # in dense layers and layer norms
                "qkv_bias": None,  # of queries, keys and values alone (Qwen2); None: use_bias
                "qk_norm": False,  # a norm on each head's queries and keys
                "scale_attention": True,  # scores over sqrt(head_dim); T5: False
                "head": "linear",  # linear | transform (a dense layer and a norm before it, BERT) | classes | none (no logits)
                "head_bias": False,
                "num_classes": None,  # of head=classes; None: as many as the training examples have
                "pooler": False,  # a dense layer and tanh on the first token (BERT)
                "tie_embeddings": True,  # the output layer is the embedding's transpose
                "scale_embeddings": False,  # times sqrt(embed_dim), as with sinusoidal positions in 2017
                "scale_logits": False,  # over sqrt(embed_dim), T5's with tied embeddings
                "dropout": 0.0,  # of embeddings and of each sub-layer's output
                "initializer": "normal",  # normal | truncated_normal | xavier | he
                "initializer_std": 0.02,  # of normal and truncated_normal, and of embeddings
                "attention": "auto",  # xla | blocks | cudnn (NVIDIA GPUs, bfloat16); auto: blocks on CPUs, else xla
                "dtype": "auto",  # of the computation: float32 | bfloat16; auto: bfloat16 where that is fast
                "remat": "none",  # recompute in the backward pass to save memory: none | dots | full
                "scan_layers": False,  # one compiled block, looped over; False unrolls: faster on CPUs, slow to compile
            },
            "tokenizer": {
                "vocab_size": 2048,
                "model_type": "bpe",  # bpe | unigram | char | byte (of these two vocab_size is an upper bound)
                "character_coverage": 0.998,  # rarer characters are spelled in bytes; 0.9995 for large corpora
                "byte_fallback": True,  # 256 pieces for bytes: no text is out of the vocabulary
                "split_digits": True,  # each digit is a piece
                "space_pieces": False,  # pieces of several spaces, as code is indented with
                "special_tokens": (),  # pieces at the top, such as "[MASK]" or "<extra_id_0>", for tasks that need them
                "user_symbols": (),  # parts of text that are never cut, such as "->"
                "sample_bytes": None,  # of text that it is trained on; None: 100 MB, or all where documents keep their order
            },
            "data": {
                # sources: builtin:NAME, hf:NAME, a file, folder, glob or URL; or a folder that prepare.py wrote
                "train": ("builtin:hsk", "builtin:chat"),
                "valid": (),  # sources; (): valid_fraction of the training documents, chosen by hash
                "valid_fraction": 0.05,
                "folds": 0,  # train is cut into so many parts, of which one validates instead; train.py --folds runs them all
                "fold": 1,  # that one
                "sequence_length": 128,  # tokens a row
                "packing": "best_fit",  # of documents into rows: best_fit | contiguous (cut where a row ends) | pad (one a row)
                "weights": (),  # share of the rows from each of train; (): in proportion to their size
                "temperature": 1.0,  # above 1: shares more alike than the sizes, size ** (1 / temperature)
                "on_end": "repeat",  # when a source has been seen: repeat (in a new order) | stop
                "source_field": "source",  # what holds what is read, for the task seq2seq
                "target_field": "target",  # and what is to be written
                "prompt": "{source}",  # what stands before a target: the source with words about it, as "zh: {source}\nen: "
                "label_field": "label",  # what holds the label, where a text has one (or several)
                "tokens_field": "tokens",  # what holds the list of words, for the task token_classification
                "tags_field": "tags",  # and that of their labels
                "messages_field": "messages",  # what holds the dialogue, for the task chat
                "prompt_field": "prompt",  # for the task dpo: what is asked,
                "chosen_field": "chosen",  # the answer that people like better,
                "rejected_field": "rejected",  # and the other one
                # what stands about each role's content; what is behind {assistant} ends an answer, or else the end of text
                "chat_template": ("{system}\n", "User:\n{user}\n", "Assistant:\n{assistant}"),
                "context_field": "context",  # what holds the text that an answer stands in, for the task question_answering
                "question_field": "question",  # and the question
                "answers_field": "answers",  # and the answers: text, a list, or {"text": […], "answer_start": […]}
                "choices_field": "choices",  # what holds the choices, for evaluate.py --task multiple_choice
                "answer_field": "answer",  # and the right one: its text, or its number from 0
                "window_stride": None,  # tokens from one window of a long text to the next; None: half a window
                "text_field": "text",  # what holds the text in JSONL, CSV, Parquet and hf:
                "skip_bad": False,  # leave out lines, rows and files that cannot be read, and say so; False: stop
                "clean": (),  # steps in their order, such as ("unicode", "html", "language=zh+en"); docs/data.md lists them
                "dedup": "none",  # leave out copies: none | exact | near; validation keeps its own
                "augment": (),  # variants of training text: synonyms, insert, delete, swap, as "swap=0.1"; docs/words.md
                "augment_copies": 1,  # of each document
                "augment_seed": 0,
                "subword_sampling": 0.0,  # text in other pieces, drawn: dropout of a BPE (0.1), alpha of a unigram model (0.3)
                "subword_copies": 1,  # times that each document is cut so
                "subword_seed": 0,
                "cache_dir": "~/.cache/zenformer",  # tokenizers and tokens, by content
            },
            "corruption": {  # what masked_lm and span_corruption hide
                "rate": 0.15,  # of the tokens
                "mean_span_length": 3.0,  # span_corruption: tokens
                "whole_words": False,  # masked_lm: all pieces of a word, or none
                "spans_anywhere": False,  # span_corruption: False: as T5, from text to a span at the end; True: for short texts
            },
            "loss": {
                "label_smoothing": 0.0,  # of dpo: the share of pairs that may be the wrong way round
                "class_weights": "none",  # of classification: none | balanced (rare classes count as much as common ones)
                "dpo_beta": 0.1,  # of dpo: the lower, the further the network may go from what it was
                "z_loss": 0.0,  # times log(Z)^2; 1e-4 steadies large models
                "l1_penalty": 0.0,  # times sum |w| over matrices and embeddings
                "l2_penalty": 0.0,  # times sum w^2
                "chunks": 1,  # parts of each row whose logits are made one after the other; more take less memory
            },
            "lora": {  # train thin matrices beside the kernels of init_from, which stay as they are (arXiv:2106.09685)
                "rank": 0,  # their width, such as 8; 0: train the kernels themselves
                "alpha": 16.0,  # what they give counts alpha / rank times
                "targets": (
                    "attention/",
                ),  # beside which kernels: patterns of names, such as "mlp/" or "blocks/[0-5]/"
            },
            "optimizer": {
                "name": "adamw",  # adamw | adam | sgd | lion | adafactor | muon (adamw but for the matrices of layers)
                "learning_rate": 1.2e-3,  # the peak
                "schedule": "cosine",  # constant | linear | cosine | rsqrt | wsd (warmup-stable-decay)
                "warmup_steps": 50,  # linear, before every schedule
                "final_fraction": 0.1,  # of the peak, at the end of linear, cosine and wsd
                "decay_fraction": 0.2,  # of all steps, for wsd's decay
                "weight_decay": 0.1,  # not on norms and biases
                "b1": 0.9,  # also the momentum of sgd and muon
                "b2": 0.95,
                "eps": 1e-8,
                "state_dtype": "float32",  # of first moments: float32 | bfloat16 (half their memory); second ones stay float32
                "clip_norm": 1.0,  # of the global gradient; 0: no clipping
                "skip_above": 0.0,  # batches whose gradient norm is higher, or NaN, change nothing; 0: NaN stops the run
                "frozen": (),  # what does not learn: patterns of names, such as "token_embedding" or "blocks/[0-5]/"
                "layer_decay": 1.0,  # below 1: each layer learns that much more slowly than the one above it
            },
            "training": {
                "num_steps": 1150,
                "epochs": 0,  # how often the text is seen, with an evaluation after each; 0: num_steps and eval_every say
                "batch_size": 8,  # sequences a step, over all devices
                "microbatches": 1,  # parts that a batch is taken in, to save memory
                "log_every": 20,
                "eval_every": 230,
                "patience": 0,  # stop after so many evaluations that were not the best so far; 0: at num_steps only
                "best_metric": "loss",  # the figure that tells which validation is the best; training/figures.py lists them
                "checkpoint_every": 230,  # and at every evaluation, so that the best is among them
                "keep_checkpoints": 2,  # the newest so many, and the best
                "sample_prompts": ("zh:", "en:"),  # continued (of dialogues: answered) at each evaluation
                "sample_tokens": 48,
                "ema_decay": 0.0,  # such as 0.999: validate, sample and keep an average of the weights; 0: the last ones
                "layer_norms": False,  # report the norms of gradients and updates layer by layer, too
                "activations_every": 0,  # steps, a multiple of log_every: report what flows through the layers, too; 0: never
                "tensorboard": True,
                "wandb_project": "",  # a Weights & Biases project; needs pip install wandb
                "word_vectors": "",  # a Word2Vec or GloVe file of width model.embed_dim, to start the token embedding from
            },
            "mesh": {  # devices along each axis; -1: all that are left
                "data": -1,  # copies of the model, each with its part of the batch
                "fsdp": 1,  # parts that parameters and the batch are divided into
                "tensor": 1,  # parts that heads, hidden units and the vocabulary are divided into
            },
            "words": {  # for word_vectors.py alone, whose vectors are model.embed_dim wide
                "min_count": 5,  # rarer words are left out
                "window": 5,  # words to either side, at most
                "negatives": 5,  # drawn for each pair of words
                "subsample": 1e-3,  # words above this share of the text are thinned out; 1: none are
            },
        },
        type_safe=False,  # types are checked once, in training/config.py
    )
    return config.lock()
