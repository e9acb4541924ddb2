"""Plans of deployments, made without executing them."""
