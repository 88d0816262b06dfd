"""Earlier versions, read beside the present one."""
