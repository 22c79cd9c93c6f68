//! `/docs`: a page to read the document of the API and to try it. All of it is in the
//! binary, and its policy lets the browser ask nobody but this node.

use actix_web::HttpResponse;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ContentEncoding, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

const PAGE: &str = include_str!("../../assets/docs.html");
const PAGE_SCRIPT: &str = include_str!("../../assets/docs.js");
/// Compressed as it is sent: every browser takes gzip, and a second copy would be 4 MB.
const SCALAR: &[u8] = include_bytes!("../../assets/scalar/scalar.js.gz");

/// Scripts come from files of this node alone. Styles are made by its script while it runs,
/// so they cannot be named beforehand.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Scripts are asked for again after an hour, so that a new version is seen.
const FOR_AN_HOUR: &str = "public, max-age=3600";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The page.
pub async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(PAGE)
}

/// What starts the page: the policy forbids scripts inside it.
pub async fn page_script() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(JAVASCRIPT)
        .insert_header((CACHE_CONTROL, FOR_AN_HOUR))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(PAGE_SCRIPT)
}

/// The reader of the document.
pub async fn scalar() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(JAVASCRIPT)
        .insert_header((CONTENT_ENCODING, ContentEncoding::Gzip))
        .insert_header((CACHE_CONTROL, FOR_AN_HOUR))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(SCALAR)
}
