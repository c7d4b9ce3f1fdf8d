//! Renderers of events; the only code that prints.
