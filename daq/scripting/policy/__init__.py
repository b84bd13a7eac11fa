"""The language policy: what a script may say, checked before it runs and all at once.

It makes errors early and clear and gives every script its checkpoints. It is not what keeps an
attacker in; that is the kernel's confinement in `daq.scripting.child`.
"""

from daq.scripting.policy.compiler import CompiledScript, compile_script, too_large

__all__ = ["CompiledScript", "compile_script", "too_large"]
