//! `millstream init`: a project that runs at once and shows where to write the next query.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cli::Init;

const SPECIFICATION: &str = r#"name: NAME
# Where Apache Spark would keep its checkpoints (an absolute URI); Millstream keeps everything below NAME/.millstream.
storage: file:///tmp/millstream-spark/NAME
libraries:
  - glob:
      include: transformations/**
configuration:
  spark.sql.session.timeZone: UTC
  # Tables USING csv become csv.gz files.
  mapreduce.output.fileoutputformat.compress: "true"
  mapreduce.output.fileoutputformat.compress.codec: org.apache.hadoop.io.compress.GzipCodec
"#;

const QUERY: &str = r#"-- Each value of the topic `visits` is one CSV line: when, page, milliseconds.
CREATE TEMPORARY VIEW visits AS
SELECT v.page, v.ms, try_to_timestamp(v.time, 'yyyy-MM-dd HH:mm:ss') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, page STRING, ms BIGINT') AS v
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'visits', startingOffsets = 'earliest'));

-- A window comes out once, when the watermark has passed its end: 5 seconds after the newest visit seen.
CREATE STREAMING TABLE page_visits
USING csv
COMMENT 'Visits of each page in ten seconds'
AS SELECT date_format(window.start, 'yyyy-MM-dd HH:mm:ss') AS start, page, count(*) AS visits, avg(ms) AS mean_ms
FROM STREAM visits WATERMARK ts DELAY OF INTERVAL 5 SECONDS
GROUP BY window(ts, '10 seconds'), page;
"#;

const FEED: &str = include_str!("init_feed.yml");

/// Makes the folder; refuses to touch one that has a project.
pub fn init(args: &Init) -> Result<()> {
    let dir = &args.project;
    let name = dir
        .file_name()
        .and_then(|n| n.to_str())
        .filter(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)))
        .with_context(|| format!("{}: a project's name is made of letters, digits, - and _", dir.display()))?;
    if dir.join("spark-pipeline.yml").exists() {
        bail!("{} has a project already; `millstream up {}` runs it", dir.display(), dir.display());
    }
    write(dir, "spark-pipeline.yml", &SPECIFICATION.replace("NAME", name))?;
    write(dir, "transformations/page_visits.sql", QUERY)?;
    write(dir, "millstream.yml", FEED)?;
    write(dir, ".gitignore", ".millstream/\nlake/\n")?;
    println!("Made {}:", dir.display());
    println!("  spark-pipeline.yml               name and settings");
    println!("  transformations/page_visits.sql  a first query: visits of each page in ten seconds");
    println!("  millstream.yml                   a feed, so that there is something to read");
    println!("\nNext: millstream up {}", dir.display());
    Ok(())
}

fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
