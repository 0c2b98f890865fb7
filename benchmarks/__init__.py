"""What the store costs and saves on real training runs, side by side with its peers. See README.md."""
