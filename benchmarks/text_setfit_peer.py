"""setfit's own training on one problem, in its own environment: texts and labels as JSON on standard input, predictions and seconds out.

    PEER/bin/python benchmarks/text_setfit_peer.py FOLDER_OF_MINILM < problem.json

Defaults of setfit (batch 16, one epoch over its sampled pairs, logistic head), with at most ``steps`` updates.
"""

from __future__ import annotations

import json
import sys
import time
import warnings


def main() -> None:
    given = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    import torch
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments
    from setfit.sampler import ContrastiveDataset

    torch.set_num_threads(given["threads"])
    began, work = time.perf_counter(), time.process_time()
    model = SetFitModel.from_pretrained(sys.argv[1])
    updates = -(-len(ContrastiveDataset(given["texts"], given["labels"], multilabel=False)) // 16)
    arguments = TrainingArguments(
        batch_size=16, num_epochs=1, seed=given["seed"], report_to="none", output_dir=given["aside"], save_strategy="no",
        show_progress_bar=False, max_steps=given["steps"] if updates > given["steps"] else -1,
    )  # fmt: skip
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"text": given["texts"], "label": given["labels"]}),
    )
    trainer.train()
    found = [int(label) for label in model.predict(given["test"])]
    spent = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - work}
    print("\n" + json.dumps({"predicted": found, "updates": updates, **spent}))


if __name__ == "__main__":
    main()
