"""What other projects' code and files need to meet gan_fast."""
