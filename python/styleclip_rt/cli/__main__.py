"""``python -m styleclip_rt.cli``, say under torchrun."""

from styleclip_rt.cli import main

main()
