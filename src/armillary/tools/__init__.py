"""Other people's programs: how they are run, where what they make is kept, and Verilator. Imports only `types`."""
