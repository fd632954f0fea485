"""The deployer: plan, stage, waves, gates, rollback, record."""
