"""How much greenhouse gas a kilowatt-hour stands for, by place and time."""
