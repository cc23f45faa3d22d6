"""Train the digit classifier whose features measure generated digits, and print its held-out accuracy.

    python scripts/train_digit_classifier.py [OUT.safetensors]

Deterministic on one machine and thread count; by default it rewrites the weights in gan_fast/metrics. New weights give
new metric values: never mix values from different weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from gan_fast.data import open_data, seeded_generator
from gan_fast.metrics import DigitClassifier

EPOCHS, BATCH, PEAK_LR, SHIFT = 60, 64, 3e-3, 1


def train(seed: int = 0) -> tuple[DigitClassifier, float]:
    """Returns the classifier and its accuracy on the held-out digits."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    train_set, held_out = open_data("digits", 16, 1)
    x, _ = train_set.batch(torch.arange(len(train_set)))
    y = train_set.labels
    model = DigitClassifier()
    steps = EPOCHS * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps)
    for epoch in range(EPOCHS):
        generator = seeded_generator(seed, epoch, "classifier")
        for indices in torch.randperm(len(x), generator=generator)[: len(x) // BATCH * BATCH].split(BATCH):
            dx, dy = torch.randint(-SHIFT, SHIFT + 1, (2,), generator=generator).tolist()
            shifted = F.pad(x[indices], (dx, -dx, dy, -dy), value=-1.0)
            loss = F.cross_entropy(model(shifted), y[indices], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    x, _ = held_out.batch(torch.arange(len(held_out)))
    with torch.no_grad():
        accuracy = (model(x).argmax(1) == held_out.labels).double().mean().item()
    return model, accuracy


if __name__ == "__main__":
    default = Path(__file__).parent.parent / "gan_fast" / "metrics" / "digit_classifier.safetensors"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    classifier, held_out_accuracy = train()
    save_file(classifier.state_dict(), out)
    print(f"held-out accuracy {held_out_accuracy:.4f}; {out.stat().st_size} bytes written to {out}")
