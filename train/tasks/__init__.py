"""What the small model learns: one module a family of tasks, all text generated here."""
