"""GeneSys as hardware: a systolic array with a vector unit, its instructions, compiler and arithmetic."""
