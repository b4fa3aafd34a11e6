"""Real inputs from disk: image folders, .npz and .npy; and their way into the network."""
