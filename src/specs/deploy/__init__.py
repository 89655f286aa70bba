"""Deploys the vLLM servers of draft, target and PRM: memory plan, commands, processes, checks; import its modules."""
