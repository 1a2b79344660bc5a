"""Hugging Face: trains a small vision transformer with random weights on handwritten digits."""

from __future__ import annotations

import sys

import digits
import torch
from huggingface_hub import ModelCard
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

from carbon_callbacks.transformers import EmissionsCallback


class Digits(Dataset):
    def __init__(self, images, labels):
        self.images, self.labels = torch.from_numpy(images)[:, None], torch.from_numpy(labels)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return {"pixel_values": self.images[i], "labels": self.labels[i]}


def accuracy_of(predicted):
    return {"accuracy": float((predicted.predictions.argmax(1) == predicted.label_ids).mean())}


def train(output_dir=".", epochs=8):
    """Train; return the accuracy on the validation digits and the report of the run."""
    torch.manual_seed(0)
    x_train, y_train, x_val, y_val = digits.load()
    shape = dict(hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4)
    pixels = dict(image_size=8, patch_size=2, num_channels=1, num_labels=10)
    steps = dict(num_train_epochs=epochs, per_device_train_batch_size=32, learning_rate=2e-3)
    evaluation = dict(eval_strategy="epoch", save_strategy="no", disable_tqdm=True)
    evaluation["report_to"] = "tensorboard"
    callback = EmissionsCallback(project_name="hf-vit-digits", output_dir=output_dir)
    trainer = Trainer(
        model=ViTForImageClassification(ViTConfig(**shape, **pixels)),
        args=TrainingArguments(f"{output_dir}/hf_vit", **steps, **evaluation),
        train_dataset=Digits(x_train, y_train),
        eval_dataset=Digits(x_val, y_val),
        compute_metrics=accuracy_of,
        callbacks=[callback],
    )
    trainer.train()
    trainer.create_model_card(model_name="digits")
    return trainer.state.log_history[-2]["eval_accuracy"], callback.report


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary()}")
    card = ModelCard.load("/".join([*sys.argv[1:2], "hf_vit", "README.md"]))
    print(card.data["co2_eq_emissions"])
