//! All modules, for this repository's tests, benchmarks and fuzz targets. Nobody else should use it: it changes
//! without notice.

macro_rules! open {
    ($($module:ident)*) => {
        $(
            #[allow(missing_docs)]
            pub mod $module {
                pub use crate::$module::*;
            }
        )*
    };
}

open! {
    clock commit config document drops http journal maintenance manager mesh names patch replica source stream
    transaction
}
