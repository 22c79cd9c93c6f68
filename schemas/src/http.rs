//! HTTP bodies: what the REST API says and is told.
