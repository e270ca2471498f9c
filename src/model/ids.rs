//! The ids of routes: given by a person, or made from host and path.

use std::collections::HashSet;

use super::route::Route;

/// The most bytes of a derived id; leaves room for the suffix that makes it unique.
const DERIVED_BYTES_MAX: usize = 112;

impl Route {
    /// An id made from host and path: `api.example.com/users/{id}` gives
    /// `api.example.com-users-id`. Two routes may have the same; [`name_routes`] tells them apart.
    #[must_use]
    pub fn derived_id(&self) -> String {
        let host = self.host.as_deref().unwrap_or_default();
        let host = host.replace('*', "any");
        let mut id = String::new();
        for letter in host.chars().chain(['/']).chain(self.matched_path().chars()) {
            if id.len() == DERIVED_BYTES_MAX {
                break;
            }
            if letter.is_ascii_alphanumeric() || letter == '.' || letter == '_' {
                id.push(letter);
            } else if !id.is_empty() && !id.ends_with('-') {
                id.push('-');
            }
        }
        let id = id.trim_end_matches('-');
        if id.is_empty() {
            "root".to_owned()
        } else {
            id.to_owned()
        }
    }

    fn matched_path(&self) -> &str {
        [
            &self.path,
            &self.path_prefix,
            &self.path_template,
            &self.path_regex,
        ]
        .into_iter()
        .find_map(Option::as_deref)
        .unwrap_or_default()
    }
}

/// Gives every route without an id one that no other route has: the derived one, with `-2`,
/// `-3` and so on where that is taken. Given ids stay as they are.
pub fn name_routes(routes: &mut [Route]) {
    let mut taken: HashSet<String> = routes.iter().filter_map(|route| route.id.clone()).collect();
    let mut next: std::collections::HashMap<String, u32> = std::collections::HashMap::new();
    for route in routes.iter_mut().filter(|route| route.id.is_none()) {
        let derived = route.derived_id();
        // Kept per name, so that many routes of one name do not search from the start each time.
        let count = next.entry(derived.clone()).or_insert(1);
        let mut id = derived.clone();
        while !taken.insert(id.clone()) {
            *count += 1;
            id = format!("{derived}-{count}");
        }
        route.id = Some(id);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn route(value: serde_json::Value) -> Route {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn ids_are_made_of_host_and_path() {
        for (value, id) in [
            (json!({"path": "/"}), "root"),
            (json!({"path_prefix": "/api/v1/"}), "api-v1"),
            (
                json!({"host": "api.example.com", "path_template": "/users/{id}"}),
                "api.example.com-users-id",
            ),
            (
                json!({"host": "*.example.com", "path": "/"}),
                "any.example.com",
            ),
            (json!({"path_regex": "/a(b|c)+"}), "a-b-c"),
            (json!({"path": "/%C3%A9"}), "C3-A9"),
            (json!({}), "root"),
        ] {
            assert_eq!(route(value.clone()).derived_id(), id, "{value}");
        }
    }

    #[test]
    fn long_ids_are_cut() {
        let path = format!("/{}", "x".repeat(500));
        assert_eq!(
            route(json!({"path": path})).derived_id().len(),
            DERIVED_BYTES_MAX
        );
    }

    #[test]
    fn every_route_gets_an_id_of_its_own() {
        let mut routes = vec![
            route(json!({"path": "/a"})),
            route(json!({"path": "/a"})),
            route(json!({"path": "/b", "id": "a-2"})),
            route(json!({"path_prefix": "/a"})),
        ];
        name_routes(&mut routes);
        let ids: Vec<_> = routes
            .iter()
            .map(|route| route.id.as_deref().unwrap())
            .collect();
        assert_eq!(ids, ["a", "a-3", "a-2", "a-4"]);
    }
}
