"""What `tools.deploy` knows: parameters, stacks, what a deployment changes, and how it goes on."""
