//! Where the logs lie: files, folders, patterns, and object stores.

use crate::options::FileFormat;
use anyhow::{Context as _, Result, bail, ensure};
use datafusion::datasource::file_format::FileFormat as Reader;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt as _;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use std::sync::Arc;
use url::Url;

/// Files that are looked at to tell their format.
const FILES_LISTED_MAX: usize = 1_000_000;

/// Registers the files as the table `logs`; returns a line about them.
pub(crate) async fn register(context: &SessionContext, paths: &[String], asked: Option<FileFormat>) -> Result<String> {
    let urls = paths.iter().map(|path| located(path)).collect::<Result<Vec<_>>>()?;
    for url in &urls {
        register_store(context, url)?;
    }
    let state = context.state();
    let (mut files, mut bytes, mut first) = (0_usize, 0_u64, None);
    for (url, path) in urls.iter().zip(paths) {
        let store = context.runtime_env().object_store(url).with_context(|| format!("{path}: no such store"))?;
        let mut listed = url
            .list_all_files(&state, store.as_ref(), "")
            .await
            .with_context(|| format!("{path}: cannot be listed"))?;
        let before = files;
        while let Some(file) = listed.try_next().await.with_context(|| format!("{path}: cannot be listed"))? {
            if file.size == 0 || asked.is_none() && kind(file.location.as_ref()).is_none() {
                continue;
            }
            files += 1;
            ensure!(files <= FILES_LISTED_MAX, "more than {FILES_LISTED_MAX} files: name fewer, or longer ones");
            bytes += file.size;
            first.get_or_insert_with(|| file.location.to_string());
        }
        ensure!(
            files > before,
            "{path}: there are no files with names of Parquet, CSV or JSON (.parquet, .csv, .json, .jsonl, .ndjson, with .gz \
             or .zst behind those of text); is the pattern in quotes? --format says what files with other names are"
        );
    }
    let first = first.unwrap_or_default();
    let Some((format, ending)) = kind(&first).or(asked.map(|asked| (asked, ""))) else {
        bail!("{first}: what it holds cannot be told from its name; say it with --format");
    };
    let format = asked.unwrap_or(format);
    let options = ListingOptions::new(reader(format, ending)).with_file_extension(ending);
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
    let config = config.infer_schema(&state).await.with_context(|| format!("{first}: is no {}", name(format)))?;
    let table = ListingTable::try_new(config).with_context(|| format!("{first}: cannot be read"))?;
    context.register_table("logs", Arc::new(table))?;
    Ok(format!("{files} files of {} as {}, such as {first}", in_units(bytes), name(format)))
}

fn name(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Parquet => "Parquet",
        FileFormat::Csv => "CSV",
        FileFormat::Json => "JSON lines",
    }
}

fn in_units(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} kB", bytes / 1e3),
    }
}

/// What a file holds, by its name, and the ending that says so.
fn kind(name: &str) -> Option<(FileFormat, &'static str)> {
    const ENDINGS: [(&str, FileFormat); 13] = [
        (".parquet", FileFormat::Parquet),
        (".csv", FileFormat::Csv),
        (".csv.gz", FileFormat::Csv),
        (".csv.zst", FileFormat::Csv),
        (".json", FileFormat::Json),
        (".json.gz", FileFormat::Json),
        (".json.zst", FileFormat::Json),
        (".jsonl", FileFormat::Json),
        (".jsonl.gz", FileFormat::Json),
        (".jsonl.zst", FileFormat::Json),
        (".ndjson", FileFormat::Json),
        (".ndjson.gz", FileFormat::Json),
        (".ndjson.zst", FileFormat::Json),
    ];
    ENDINGS.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(ending, format)| (format, ending))
}

fn reader(format: FileFormat, ending: &str) -> Arc<dyn Reader> {
    let compression = match ending.rsplit('.').next() {
        Some("gz") => FileCompressionType::GZIP,
        Some("zst") => FileCompressionType::ZSTD,
        _ => FileCompressionType::UNCOMPRESSED,
    };
    match format {
        FileFormat::Parquet => Arc::new(ParquetFormat::default()),
        FileFormat::Csv => Arc::new(CsvFormat::default().with_has_header(true).with_file_compression_type(compression)),
        FileFormat::Json => Arc::new(JsonFormat::default().with_file_compression_type(compression)),
    }
}

/// A path, pattern or address as DataFusion knows it: its own parser knows patterns of paths alone.
fn located(path: &str) -> Result<ListingTableUrl> {
    let wrong = || format!("{path}: is neither a path nor an address");
    if !path.contains("://") {
        return ListingTableUrl::parse(path).with_context(wrong);
    }
    let Some(pattern) = path.find(['*', '?', '[']) else {
        return ListingTableUrl::parse(path).with_context(wrong);
    };
    let folder = path[..pattern].rfind('/').map_or(0, |slash| slash + 1);
    let url = Url::parse(&path[..folder]).with_context(wrong)?;
    let glob = glob::Pattern::new(&path[folder..]).with_context(|| format!("{path}: is no pattern"))?;
    ListingTableUrl::try_new(url, Some(glob)).with_context(wrong)
}

/// Makes the store of an address known; local files are known already.
fn register_store(context: &SessionContext, url: &ListingTableUrl) -> Result<()> {
    let address: &Url = url.as_ref();
    match address.scheme() {
        "file" => Ok(()),
        "s3" | "s3a" => {
            let bucket = address.host_str().with_context(|| format!("{address}: names no bucket"))?;
            // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT, AWS_ALLOW_HTTP, …
            let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
            let store = store.with_context(|| format!("{address}: the environment does not say how to reach S3"))?;
            let store: Arc<dyn ObjectStore> = Arc::new(store);
            context.register_object_store(url.object_store().as_ref(), store);
            Ok(())
        }
        other => bail!("{address}: `{other}` is no store that is known here; expected a path, file:// or s3://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        assert_eq!(kind("a/b.parquet"), Some((FileFormat::Parquet, ".parquet")));
        assert_eq!(kind("b.jsonl.zst"), Some((FileFormat::Json, ".jsonl.zst")));
        assert_eq!(kind("b.csv.gz"), Some((FileFormat::Csv, ".csv.gz")));
        assert_eq!(kind("README.md"), None);
    }

    #[test]
    fn patterns_are_split_from_addresses() {
        let url = located("s3://logs/year=2025/**/*.parquet").unwrap();
        let address: &Url = url.as_ref();
        assert_eq!(address.as_str(), "s3://logs/year=2025/");
        assert!(url.contains(&object_store::path::Path::from("year=2025/month=1/a.parquet"), false));
        assert!(!url.contains(&object_store::path::Path::from("year=2025/month=1/a.csv"), false));
        assert!(located("s3://logs/[").is_err());
    }
}
