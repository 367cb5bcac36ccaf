//! Where a picture was taken: a latitude and a longitude that can be believed.
//!
//! Cameras write zeros, blanks and NaN where they know nothing; none of these becomes a place. No geocoding.

/// A position in WGS 84 degrees, north and east positive. Never (0, 0), never out of range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    latitude: f64,
    longitude: f64,
}

impl Place {
    /// A place, unless the pair is out of range, not finite, or within about ten metres of (0, 0), which
    /// cameras write for “unknown” and where there is nothing but the Gulf of Guinea.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        const NOWHERE: f64 = 1e-4;
        // A comparison with NaN is false, so that NaN is out of every range.
        let believable = latitude.abs() <= 90.0
            && longitude.abs() <= 180.0
            && !(latitude.abs() < NOWHERE && longitude.abs() < NOWHERE);
        believable.then_some(Self { latitude, longitude })
    }

    /// Reads the point string of ISO 6709 annex H in decimal degrees, `±DD.DDDD±DDD.DDDD[±A][CRS…]/`, as
    /// QuickTime's `com.apple.quicktime.location.ISO6709` and 3GPP-like `©xyz` hold it.
    pub fn from_iso_6709(text: &str) -> Option<Self> {
        let signs: Vec<usize> = text.match_indices(['+', '-', '/', 'C']).map(|(at, _)| at).collect();
        let (&first, rest) = signs.split_first()?;
        let second = *rest.first()?;
        let third = rest.get(1).copied().unwrap_or(text.len());
        let degrees = |from, to| text.get(from..to)?.trim().parse::<f64>().ok();
        Self::new(degrees(first, second)?, degrees(second, third)?)
    }

    /// Degrees north, −90 to 90.
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east, −180 to 180.
    pub fn longitude(self) -> f64 {
        self.longitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believed_or_not() {
        for (latitude, longitude, believed) in [
            (51.5, -0.004, true),
            (0.0, 10.0, true),
            (-90.0, 180.0, true),
            (0.0, 0.0, false),
            (-0.0, 0.000_01, false),
            (f64::NAN, 1.0, false),
            (1.0, f64::INFINITY, false),
            (90.1, 0.0, false),
            (0.0, 180.1, false),
        ] {
            assert_eq!(Place::new(latitude, longitude).is_some(), believed, "{latitude} {longitude}");
        }
    }

    #[test]
    fn iso_6709() {
        for (text, expected) in [
            ("+27.1281+100.2508+000.000/", Some((27.1281, 100.2508))),
            ("+52.2097-000.8955+103.640/", Some((52.2097, -0.8955))),
            ("+27.2939+112.6932/", Some((27.2939, 112.6932))),
            ("+35.0+139.0CRSWGS_84/", Some((35.0, 139.0))),
            ("+00.0000+000.0000+000.000/", None),
            ("", None),
            ("+", None),
            ("+1/", None),
            ("++/", None),
        ] {
            let place = Place::from_iso_6709(text).map(|p| (p.latitude(), p.longitude()));
            assert_eq!(place, expected, "{text}");
        }
    }
}
