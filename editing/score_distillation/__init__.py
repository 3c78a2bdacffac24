"""Editing by score distillation: AvatarStudio (Mendiratta et al. 2023, "the paper") on the talking radiance field."""
