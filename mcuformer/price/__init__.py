"""What calls cost under every tile and budget of scratch, kept from one network to the next."""
