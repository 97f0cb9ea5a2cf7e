//! Types of events as they are registered, read, listed and deleted over the API.

use tonic::{Request, Response, async_trait};

use super::{
    admin::Answer,
    schema_messages::{RegisterSchemaRequest, Schema},
    server::schemas_server,
    status,
    topics::{page_size, page_token},
};
use crate::{
    broker::{Broker, Given, RegisterSchema, SchemaError, SchemaSummary, TopicError},
    proto,
    schema::{Compatibility, Version, registry::Page},
};

#[derive(Debug)]
pub(super) struct SchemasService {
    pub(super) broker: Broker,
}

#[async_trait]
impl schemas_server::Schemas for SchemasService {
    async fn register_schema(&self, request: Request<RegisterSchemaRequest>) -> Answer<Schema> {
        let registered = async {
            let wanted = wanted(request.into_inner())?;
            self.broker.register_schema(wanted).await
        };
        answer(registered.await.map(|summary| told(&summary)))
    }

    async fn get_schema(&self, request: Request<proto::GetSchemaRequest>) -> Answer<Schema> {
        let proto::GetSchemaRequest { r#type, version } = request.into_inner();
        let found = self.broker.get_schema(&r#type, version).await;
        answer(found.map(|version| whole(&version)))
    }

    async fn list_schemas(
        &self,
        request: Request<proto::ListSchemasRequest>,
    ) -> Answer<proto::ListSchemasResponse> {
        let asked = request.into_inner();
        let wrong = |error: TopicError| status::topic(error, "pattern");
        let pattern = match asked.pattern.as_str() {
            "" => None,
            pattern => {
                let parsed = pattern.parse().map_err(|cause| TopicError::Pattern { cause });
                Some(parsed.map_err(wrong)?)
            }
        };
        let count = page_size(asked.page_size).map_err(wrong)?;
        let after = page_token::read(&asked.page_token, &asked.pattern).map_err(wrong)?;
        let listed = self.broker.list_schemas(pattern.as_ref(), after.as_deref(), count).await;
        answer(listed.map(|Page { versions, next }| proto::ListSchemasResponse {
            schemas: versions.iter().map(|version| listed_of(version)).collect(),
            next_page_token:
                next.map(|next| page_token::of(&next, &asked.pattern)).unwrap_or_default(),
        }))
    }

    async fn delete_schema(
        &self,
        request: Request<proto::DeleteSchemaRequest>,
    ) -> Answer<proto::DeleteSchemaResponse> {
        let proto::DeleteSchemaRequest { r#type, force } = request.into_inner();
        let deleted = self.broker.delete_schema(&r#type, force).await;
        answer(deleted.map(|()| proto::DeleteSchemaResponse {}))
    }
}

fn answer<T>(result: Result<T, SchemaError>) -> Answer<T> {
    result.map(Response::new).map_err(status::schema)
}

fn wanted(request: RegisterSchemaRequest) -> Result<RegisterSchema, SchemaError> {
    let RegisterSchemaRequest { schema, validate_only, force } = request;
    let Schema { r#type, descriptors, sources, compatibility, .. } = schema.unwrap_or_default();
    let mut violations = Vec::new();
    let mut wrong =
        |field: &str, why: &str| violations.push((format!("schema.{field}"), why.to_owned()));
    if r#type.is_empty() {
        wrong("type", "is empty: name the message, such as shop.v1.OrderPlaced");
    }
    let compatibility = match proto::Compatibility::try_from(compatibility) {
        Ok(compatibility) => Compatibility::try_from(compatibility).ok(),
        Err(_) => {
            wrong("compatibility", "is none that this broker knows");
            None
        }
    };
    let given = match descriptors.filter(|set| !set.is_empty()) {
        Some(_) if !sources.is_empty() => {
            wrong("sources", "are given beside descriptors: give either");
            None
        }
        Some(set) => Some(Given::Descriptors(set)),
        None if sources.is_empty() => {
            wrong("sources", "are empty: give the .proto files by path, or descriptors");
            None
        }
        None => Some(Given::Sources(sources)),
    };
    match given {
        Some(given) if violations.is_empty() => {
            Ok(RegisterSchema { type_name: r#type, given, compatibility, validate_only, force })
        }
        Some(_) | None => Err(SchemaError::Invalid { violations }),
    }
}

/// Without what it is made of: whoever registers it has that.
fn told(summary: &SchemaSummary) -> Schema {
    Schema {
        r#type: summary.type_name.clone(),
        compatibility: proto::Compatibility::from(summary.compatibility).into(),
        version: summary.version,
        fingerprint: summary.fingerprint.clone(),
        create_time: Some(summary.created),
        ..Default::default()
    }
}

/// With all that a client needs to load it; without what is bundled where it cannot be linked here.
fn whole(version: &Version) -> Schema {
    let record = version.record();
    let descriptors = match version.compiled() {
        Ok(compiled) => compiled.descriptors_with_bundled().into(),
        Err(_) => record.descriptors.clone(),
    };
    let text = |(path, text): (&String, &String)| (path.clone(), text.clone().into_bytes());
    Schema {
        descriptors: Some(descriptors),
        sources: record.sources.iter().map(text).collect(),
        ..told(&SchemaSummary::of(record))
    }
}

fn listed_of(version: &Version) -> proto::Schema {
    let Schema { r#type, compatibility, version, fingerprint, create_time, .. } =
        told(&SchemaSummary::of(version.record()));
    proto::Schema { r#type, compatibility, version, fingerprint, create_time, ..Default::default() }
}
