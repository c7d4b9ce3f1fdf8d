//! Runs a plan: every step whose predecessors are done, concurrently; decides nothing.
