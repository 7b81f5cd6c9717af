"""Configurations of the golden checkpoints of all families, and the same for wider models."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "fixtures"))
import generate
import generate_mixtures
import layer_norm_families

CONFIGS = [
    *generate.CHECKPOINTS,
    *layer_norm_families.CHECKPOINTS,
    *generate_mixtures.CHECKPOINTS,
    *generate_mixtures.STACKED,
]
WIDTHS = {
    *("hidden_size", "intermediate_size", "head_dim", "n_embd", "n_inner", "d_model", "ffn_dim", "ffn_hidden_size"),
    *("moe_intermediate_size", "shared_expert_intermediate_size"),
}


def widened(settings, factor):
    """Settings of a model whose vectors are `factor` times as long, with as many heads."""
    wide = {}
    for key, value in settings.items():
        if isinstance(value, dict) and key != "vision_config":
            value = widened(value, factor)
        elif key in WIDTHS and value is not None:
            value *= factor
        wide[key] = value
    return wide
