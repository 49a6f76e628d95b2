mod inner;

#[cfg(test)]
mod tests {
    mod deep {
        #[test]
        fn in_a_module() {}
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[expect(
        clippy::too_many_lines,
        reason = "an attribute of several lines stands between"
    )]
    async fn behind_attributes() {}

    fn no_test() {}
}
