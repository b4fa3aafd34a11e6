"""What the float operators are made of: shape rules, arithmetic, evaluation (`ir/optable.py`)."""
