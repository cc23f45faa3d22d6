"""What nvcc makes of filtered_lrelu for GPUs that are not here: registers, spills, shared memory, wide loads."""

from pathlib import Path

import pytest
import sass

SHARED_LIMIT = 48 * 1024  # of a block, with no special request
# three blocks of 256 threads a multiprocessor; of the general kernel, whose tiles fill 47 KiB, two
REGISTERS = {"special": 80, "general": 128}
SPECIAL = 6  # what start() names, in three element types; and the general kernel, in four

pytestmark = sass.needs_nvcc


@pytest.mark.parametrize("capability", [80, 90, 100, 120])
def test_cuda(capability: int, tmp_path: Path) -> None:
    kernels = sass.compile_cuda("filtered_lrelu", tmp_path, capability)
    general = [k for k in kernels if "KnownILi0E" in k.name]
    assert len(general) == 4
    assert len(kernels) == 4 + 3 * SPECIAL
    for kernel in kernels:
        assert kernel.registers <= REGISTERS["general" if kernel in general else "special"], kernel
        assert kernel.local_bytes == 0, kernel
        assert kernel.shared_bytes <= SHARED_LIMIT, kernel
        # with a filter of one tap nothing is read four at a time
        if "KnownILi1E" not in kernel.name:
            assert kernel.instructions["LDS.128"] >= 2, kernel
        if "KnownILi0E" not in kernel.name:
            assert kernel.shared_bytes <= SHARED_LIMIT * 2 // 3, "room for several blocks in a multiprocessor"
