"""The checkpoints that people ask for, each with the structure that stands for it."""

from tests.models.refused import REFUSED

# A structure of tests/checkpoints.py → the checkpoints that are made like it.
SERVED: dict[str, tuple[str, ...]] = {
    "bert": (
        "sentence-transformers/all-MiniLM-L6-v2",
        "sentence-transformers/all-MiniLM-L12-v2",
        "sentence-transformers/paraphrase-MiniLM-L6-v2",
        "sentence-transformers/multi-qa-MiniLM-L6-cos-v1",
        "intfloat/e5-small-v2",
        "intfloat/e5-base-v2",
        "intfloat/e5-large-v2",
        "thenlper/gte-small",
        "thenlper/gte-base",
        "thenlper/gte-large",
        "shibing624/text2vec-base-chinese",
    ),
    "bert-cls": (
        "mixedbread-ai/mxbai-embed-large-v1",
        "mixedbread-ai/mxbai-embed-xsmall-v1",
        "mixedbread-ai/mxbai-embed-2d-large-v1",
        "WhereIsAI/UAE-Large-V1",
        "Snowflake/snowflake-arctic-embed-xs",
        "Snowflake/snowflake-arctic-embed-s",
        "Snowflake/snowflake-arctic-embed-m",
        "Snowflake/snowflake-arctic-embed-l",
        "Snowflake/snowflake-arctic-embed-m-v1.5",
    ),
    "bge": (
        "BAAI/bge-small-en-v1.5",
        "BAAI/bge-base-en-v1.5",
        "BAAI/bge-large-en-v1.5",
        "BAAI/bge-small-zh-v1.5",
        "BAAI/bge-base-zh-v1.5",
        "BAAI/bge-large-zh-v1.5",
    ),
    "bge-m3": ("BAAI/bge-m3",),
    "multilingual-minilm": (
        "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
        "intfloat/multilingual-e5-small",
    ),
    "xlm-roberta-mean": (
        "sentence-transformers/paraphrase-multilingual-mpnet-base-v2",
        "intfloat/multilingual-e5-base",
        "intfloat/multilingual-e5-large",
        "intfloat/multilingual-e5-large-instruct",
        "mixedbread-ai/deepset-mxbai-embed-de-large-v1",
    ),
    "xlm-roberta": (
        "Snowflake/snowflake-arctic-embed-l-v2.0",
        "ibm-granite/granite-embedding-107m-multilingual",
        "ibm-granite/granite-embedding-278m-multilingual",
    ),
    "roberta": ("sentence-transformers/all-distilroberta-v1",),
    "roberta-cls": (
        "ibm-granite/granite-embedding-30m-english",
        "ibm-granite/granite-embedding-125m-english",
    ),
    "distilbert": ("sentence-transformers/msmarco-distilbert-base-v4",),
    "mpnet": (
        "sentence-transformers/all-mpnet-base-v2",
        "sentence-transformers/multi-qa-mpnet-base-cos-v1",
    ),
    "mpnet-cls": ("sentence-transformers/multi-qa-mpnet-base-dot-v1",),
    "modernbert": ("nomic-ai/modernbert-embed-base",),
    "modernbert-cls": (
        "Alibaba-NLP/gte-modernbert-base",
        "ibm-granite/granite-embedding-english-r2",
        "ibm-granite/granite-embedding-small-english-r2",
    ),
    "nomic-bert": ("nomic-ai/nomic-embed-text-v1", "nomic-ai/nomic-embed-text-v1.5"),
    "nomic-bert-cls": ("Snowflake/snowflake-arctic-embed-m-long",),
    "arctic-m-v2": ("Snowflake/snowflake-arctic-embed-m-v2.0",),
    "gte-new": (
        "Alibaba-NLP/gte-multilingual-base",
        "Alibaba-NLP/gte-base-en-v1.5",
        "Alibaba-NLP/gte-large-en-v1.5",
    ),
    "stella-400m": ("NovaSearch/stella_en_400M_v5",),
    "stella-1.5b": ("NovaSearch/stella_en_1.5B_v5",),
    "gte-qwen2": ("Alibaba-NLP/gte-Qwen2-1.5B-instruct",),
    "jina-v2": ("jinaai/jina-embeddings-v2-small-en", "jinaai/jina-embeddings-v2-base-en"),
    "jina-v2-code": ("jinaai/jina-embeddings-v2-base-code",),
    "jina-v3-hf": ("jinaai/jina-embeddings-v3-hf",),
    "qwen3": (
        "Qwen/Qwen3-Embedding-0.6B",
        "Qwen/Qwen3-Embedding-4B",
        "Qwen/Qwen3-Embedding-8B",
    ),
    "mistral": (
        "intfloat/e5-mistral-7b-instruct",
        "Salesforce/SFR-Embedding-Mistral",
        "Linq-AI-Research/Linq-Embed-Mistral",
        "BAAI/bge-en-icl",
    ),
    "llama-bidirectional": ("nvidia/llama-embed-nemotron-8b",),
    "gemma2": ("BAAI/bge-multilingual-gemma2",),
    "embeddinggemma": ("google/embeddinggemma-300m",),
    "labse": ("sentence-transformers/LaBSE",),
    "distiluse": ("sentence-transformers/distiluse-base-multilingual-cased-v2",),
    "sentence-t5": ("sentence-transformers/sentence-t5-base", "sentence-transformers/gtr-t5-base"),
    "static": ("sentence-transformers/static-retrieval-mrl-en-v1",),
    "potion": ("minishlab/potion-base-8M",),
    "contriever": ("facebook/contriever",),
    "specter": ("allenai/specter2_base",),
}
STRUCTURES = {name: key for key, names in SERVED.items() for name in names}
CHECKPOINTS = [*STRUCTURES, *REFUSED]

# What a person who asks for it should know.
NOTES = {
    "NovaSearch/stella_en_1.5B_v5": "where its configuration states `is_causal`",
    "Alibaba-NLP/gte-Qwen2-1.5B-instruct": "its configuration states `is_causal`",
    "jinaai/jina-embeddings-v3-hf": "the model without the adapters of its tasks",
    "BAAI/bge-m3": "its dense vectors, from `pytorch_model.bin`",
    "BAAI/bge-en-icl": "examples in the prompt are the caller's",
    "allenai/specter2_base": "without the adapters of its tasks",
}
