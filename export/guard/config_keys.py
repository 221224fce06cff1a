"""Every key of a transformer's config.json that is not simply the architecture's own.

What the installed transformers reads for an architecture is found in its sources (source_keys);
here stands what is refused nevertheless, and what nobody reads but changes no vector.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from export.guard.known_keys import OWN_CODE, Table, honoured, ignored, refused

NATIVE = {  # types that transformers took over from a repository's code, with its weights
    "eurobert",
    "gte",
    "new",  # what gte was called while it was code of its repositories
    "nomic_bert",
}
RENAMED = {"new": "gte"}  # model_type → the type that the export loads it as
T5_FAMILY = {"t5", "mt5", "umt5"}
TASKS_OF_THE_EXPORT = ("AutoModel", "AutoConfig", "AutoProcessor")
NOT_TEXT_KEYS = ("vision_config", "audio_config")
NOT_TEXT = "is of images or sound: not a text encoder that is served"
EXPERTS = re.compile(r"moe_every_n_layers|(moe_)?(num|n)_(local_|routed_)?experts")
LAYERS = re.compile(r"(num|n)_(\w+_)?layers?|layers|depth")
MOST_LAYERS = 1000  # the deepest that is known has 126; each takes time before weights are read
EXPERT = "makes experts, which are chosen token by token: that cannot be exported"
QUANTIZED = "says that the weights are quantized; export the checkpoint that they come from"
DTYPE = "is no type of weights that are read as float32"
DTYPES = ("float32", "float16", "bfloat16", "float64")
ATTENTIONS = (
    "eager",
    "sdpa",
    "flash_attention_2",
    "flash_attention_3",
    "flash_attention_4",
    "flex_attention",
)
CROSS_ENCODER = "is a CrossEncoder's, which scores pairs of texts"
READ_ELSEWHERE = "names files that would be read in its place"

CONFIG: Table = {
    "auto_map": refused(OWN_CODE, shape="object"),
    "model_type": honoured("the architecture", "text"),
    "quantization_config": refused(QUANTIZED),
    "quantization": refused(QUANTIZED),
    "compression_config": refused(QUANTIZED),
    "configuration_files": refused(READ_ELSEWHERE),
    **dict.fromkeys(NOT_TEXT_KEYS, refused(NOT_TEXT)),
    "lora_adaptations": refused("has an adapter for each task, and a call names no task"),
    "text_config": refused("is a model within the model: not a text encoder that is served"),
    "processor_class": refused("stands before the tokenizer, for images or sound", shape="text"),
    "sentence_transformers": refused(CROSS_ENCODER),
    "sbert_ce_default_activation_function": refused(CROSS_ENCODER),
    "per_layer_config": refused("gives layers settings of their own, which is not tried"),
    "pruned_heads": refused("is not read by transformers: save the model without those heads"),
    "torchscript": ignored("how weights were tied to be traced"),
    "is_encoder_decoder": honoured("only the encoders of the T5 family are served", "flag"),
    "num_labels": ignored("of a classifier"),
    "tokenizer_class": honoured("where tokenizer_config.json names none", "text"),
    **dict.fromkeys(("dtype", "torch_dtype"), refused(DTYPE, *DTYPES)),
    **ignored("the weights are loaded in float32", "bf16 fp16 use_bfloat16"),
    **dict.fromkeys(
        ("_attn_implementation", "attn_implementation", "attention_implementation"),
        refused("is no attention of transformers' own", *ATTENTIONS),
    ),
    **ignored(
        "the export has an attention of its own",
        "_attn_implementation_autoset _experts_implementation experts_implementation "
        "_flash_attn_2_enabled use_flash_attn use_flash_attention use_memory_efficient_attention "
        "deterministic_flash_attn reference_compile unpad_inputs",
    ),
    **ignored(
        "says where the checkpoint comes from",
        "_commit_hash _name_or_path architectures transformers_version name_or_path "
        "unsloth_fixed unsloth_version model_name finetuning_task language languages license "
        "base_model mteb tags adapter_transformers_version auto_mapping model_revision "
        "huggingface_repo nvidia_version modelopt trl_version library_name",
    ),
    **ignored(
        "of a head that gives no vector",
        "id2label label2id problem_type classifier_activation classifier_bias classifier_pooling "
        "classifier_num_labels decoder_bias sparse_prediction sparse_pred_ignore_index "
        "repad_logits_with_grad summary_activation summary_first_dropout summary_last_dropout "
        "summary_proj_to_labels summary_type summary_use_proj task_specific_params "
        "pooler_fc_size pooler_num_attention_heads "
        "pooler_num_fc_layers pooler_size_per_head pooler_type directionality dense_seq_output "
        "tie_word_embeddings tie_encoder_decoder clf_pooling use_xentropy pretraining_tp "
        "final_logit_softcapping cross_attention_hidden_size loss_type emb_pooler "
        "last_layer_subset",
    ),
    **ignored(
        "of outputs and memory that encode does not ask for",
        "use_cache output_past output_attentions output_hidden_states return_dict "
        "gradient_checkpointing keys_to_ignore_at_inference chunk_size_feed_forward xla_device "
        "use_return_dict tie_weights_ tf_legacy_loss use_reentrant mem_len tie_last_hidden_states",
    ),
    **ignored(
        "says what else may be done with the vectors",
        "matryoshka_dimensions matryoshka_dims is_matryoshka matryoshka_embeddings",
    ),
    **ignored("of other libraries", "transformers.js_config onnx ov_config vllm_config mlx"),
    **ignored(
        "a token's number: of the tokenizer, or what the architecture makes of it",
        "bos_token_id cls_token_id eos_token_id mask_token_id pad_token_id sep_token_id "
        "unk_token_id eos_token_ids decoder_start_token_id mask_token pad_token bos_token "
        "eos_token",
    ),
    **ignored(
        "of weights before training",
        "initializer_range initializer_factor initializer_cutoff_factor init_std init_method "
        "embedding_init_std",
    ),
    **ignored(
        "of generated text",
        "assistant_confidence_threshold assistant_early_exit assistant_lookbehind bad_words_ids "
        "begin_suppress_tokens cache_config cache_implementation compile_config "
        "constraints disable_compile diversity_penalty do_sample dola_layers early_stopping "
        "encoder_no_repeat_ngram_size encoder_repetition_penalty epsilon_cutoff eta_cutoff "
        "exponential_decay_length_penalty force_words_ids forced_bos_token_id "
        "forced_decoder_ids forced_eos_token_id guidance_scale is_assistant length_penalty "
        "low_memory max_cache_len max_length max_matching_ngram_size max_new_tokens max_time "
        "min_length min_new_tokens min_p no_repeat_ngram_size num_assistant_tokens "
        "num_assistant_tokens_schedule num_beam_groups num_beams num_return_sequences "
        "output_logits output_scores penalty_alpha prefill_chunk_size prefix "
        "prompt_lookup_num_tokens remove_invalid_values renormalize_logits repetition_penalty "
        "return_dict_in_generate return_legacy_cache sequence_bias stop_strings suppress_tokens "
        "target_lookbehind temperature token_healing top_h top_k top_p typical_p use_mtp "
        "watermarking_config",
    ),
}
NEVER_ACTIVE: Iterable[tuple[re.Pattern[str], str]] = (
    (re.compile(r"dropout|_pdrop$|drop_path|droprate|drop_rate|layerdrop"), "of training"),
)


@dataclass(frozen=True, slots=True)
class Old:
    """A key of a repository's own code, and what transformers' class does in its place."""

    values: tuple[Any, ...] = ()  # those of the checkpoints whose weights the class takes
    key: str | None = None  # what the class reads instead: both must say the same
    default: Any = None  # what it takes where neither stands


def _same(*values: Any) -> Old:
    return Old(values)


# Read by no code of transformers, but by that of the repository: fine while both mean the same.
OLD_KEYS: Mapping[str, Mapping[str, Old]] = {
    "nomic_bert": {
        "n_embd": Old(key="hidden_size", default=768),
        "n_head": Old(key="num_attention_heads", default=12),
        "n_layer": Old(key="num_hidden_layers", default=12),
        "n_inner": Old(key="intermediate_size", default=3072),
        "layer_norm_epsilon": Old(key="layer_norm_eps", default=1e-12),
        "activation_function": _same("swiglu"),
        "causal": _same(False),
        "add_pooling_layer": _same(False),
        "ffn_div": _same(1),
        "mlp_fc1_bias": _same(False),
        "mlp_fc2_bias": _same(False),
        "moe_every_n_layers": _same(0),
        "parallel_block": _same(False),
        "parallel_block_tied_norm": _same(False),
        "prenorm": _same(False),
        "qkv_proj_bias": _same(False),
        "rotary_emb_base": _same(1000),
        "rotary_emb_fraction": _same(1.0),
        "rotary_emb_interleaved": _same(False),
        "rotary_emb_scale_base": _same(),
        "rotary_scaling_factor": _same(),
        "scale_attn_by_inverse_layer_idx": _same(False),
        "scale_attn_weights": _same(True),
        "use_rms_norm": _same(False),
    },
    "gte": {
        "layer_norm_type": _same("layer_norm"),
        "logn_attention_clip1": _same(False),
        "logn_attention_scale": _same(False),
        "pack_qkv": _same(True),
        "position_embedding_type": _same("rope"),
    },
    "modernbert": {
        "layer_norm_eps": Old(key="norm_eps", default=1e-5),
        "position_embedding_type": _same("absolute", "sans_pos"),
    },
    "gemma2": {
        "hidden_act": Old(key="hidden_activation", default="gelu_pytorch_tanh"),
        "sliding_window_size": Old(key="sliding_window", default=4096),
    },
    "gemma3_text": {
        "_sliding_window_pattern": _same(6),
        "hidden_act": Old(key="hidden_activation", default="gelu_pytorch_tanh"),
    },
    "albert": {"down_scale_factor": _same(1), "gap_size": _same(0)},
}
UNREAD_ANYWHERE: Mapping[str, Old] = {"position_embedding_type": _same("absolute")}
# Of how the repository's code computes, not of what.
OLD_SETTINGS: Table = {
    **ignored(
        "of how the repository's own code computes",
        "fused_bias_fc fused_dropout_add_ln max_trained_positions n_positions "
        "pad_vocab_size_multiple reorder_and_upcast_attn router_aux_loss_coef "
        "moe_impl moe_top_k moe_normalize_expert_weights net_structure_type num_memory_blocks "
        "layers_to_keep expert_choice_router num_shared_experts",
    ),
}

# --- rotary positions: keys beside rope_type, by type

ROPE_COMMON = ("rope_type", "type", "rope_theta", "partial_rotary_factor")
ROPE: Mapping[str, tuple[str, ...]] = {
    "default": (),
    # Angles depend on the longest text of a batch above the original length, where they end here.
    "dynamic": ("factor",),
    "linear": ("factor",),
    "llama3": (
        "factor",
        "high_freq_factor",
        "low_freq_factor",
        "original_max_position_embeddings",
    ),
    "longrope": (
        "attention_factor",
        "factor",
        "long_factor",
        "original_max_position_embeddings",
        "short_factor",
    ),
    "proportional": (),
    "yarn": (
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "factor",
        "mscale",
        "mscale_all_dim",
        "original_max_position_embeddings",
        "truncate",
    ),
}
