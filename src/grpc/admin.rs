//! What this broker is, and, for everything of the API that is not built, an answer that says so.

use tonic::{Request, Response, Status, async_trait};

use super::{
    server::{admin_server, schemas_server, workers_server},
    status,
};
use crate::{broker::Broker, proto};

#[derive(Debug)]
pub(super) struct AdminService {
    pub(super) broker: Broker,
}

#[derive(Debug)]
pub(super) struct WorkersService;

#[derive(Debug)]
pub(super) struct SchemasService;

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl admin_server::Admin for AdminService {
    async fn get_server_info(
        &self,
        _: Request<proto::GetServerInfoRequest>,
    ) -> Answer<proto::GetServerInfoResponse> {
        let info = self.broker.info();
        let durability = proto::Durability::from(info.backend.durability);
        Ok(Response::new(proto::GetServerInfoResponse {
            version: info.version.to_owned(),
            broker_id: info.broker_id,
            backend: info.backend.kind.to_owned(),
            durability: durability.into(),
            warnings: info.warnings,
            max_event_bytes: info.max_event_bytes as u64,
            max_request_bytes: info.max_request_bytes as u64,
        }))
    }

    async fn create_topic(&self, _: Request<proto::CreateTopicRequest>) -> Answer<proto::Topic> {
        Err(status::feature_off("Admin.CreateTopic"))
    }

    async fn get_topic(&self, _: Request<proto::GetTopicRequest>) -> Answer<proto::Topic> {
        Err(status::feature_off("Admin.GetTopic"))
    }

    async fn list_topics(
        &self,
        _: Request<proto::ListTopicsRequest>,
    ) -> Answer<proto::ListTopicsResponse> {
        Err(status::feature_off("Admin.ListTopics"))
    }

    async fn update_topic(&self, _: Request<proto::UpdateTopicRequest>) -> Answer<proto::Topic> {
        Err(status::feature_off("Admin.UpdateTopic"))
    }

    async fn delete_topic(
        &self,
        _: Request<proto::DeleteTopicRequest>,
    ) -> Answer<proto::DeleteTopicResponse> {
        Err(status::feature_off("Admin.DeleteTopic"))
    }

    async fn get_group(&self, _: Request<proto::GetGroupRequest>) -> Answer<proto::Group> {
        Err(status::feature_off("Admin.GetGroup"))
    }

    async fn list_groups(
        &self,
        _: Request<proto::ListGroupsRequest>,
    ) -> Answer<proto::ListGroupsResponse> {
        Err(status::feature_off("Admin.ListGroups"))
    }

    async fn update_group(&self, _: Request<proto::UpdateGroupRequest>) -> Answer<proto::Group> {
        Err(status::feature_off("Admin.UpdateGroup"))
    }

    async fn seek_group(&self, _: Request<proto::SeekGroupRequest>) -> Answer<proto::Group> {
        Err(status::feature_off("Admin.SeekGroup"))
    }

    async fn delete_group(
        &self,
        _: Request<proto::DeleteGroupRequest>,
    ) -> Answer<proto::DeleteGroupResponse> {
        Err(status::feature_off("Admin.DeleteGroup"))
    }
}

#[async_trait]
impl workers_server::Workers for WorkersService {
    async fn pull(&self, _: Request<proto::PullRequest>) -> Answer<proto::PullResponse> {
        Err(status::feature_off("Workers.Pull"))
    }

    async fn settle(&self, _: Request<proto::SettleRequest>) -> Answer<proto::SettleResponse> {
        Err(status::feature_off("Workers.Settle"))
    }
}

#[async_trait]
impl schemas_server::Schemas for SchemasService {
    async fn register_schema(
        &self,
        _: Request<proto::RegisterSchemaRequest>,
    ) -> Answer<proto::Schema> {
        Err(status::feature_off("Schemas.RegisterSchema"))
    }

    async fn get_schema(&self, _: Request<proto::GetSchemaRequest>) -> Answer<proto::Schema> {
        Err(status::feature_off("Schemas.GetSchema"))
    }

    async fn list_schemas(
        &self,
        _: Request<proto::ListSchemasRequest>,
    ) -> Answer<proto::ListSchemasResponse> {
        Err(status::feature_off("Schemas.ListSchemas"))
    }

    async fn delete_schema(
        &self,
        _: Request<proto::DeleteSchemaRequest>,
    ) -> Answer<proto::DeleteSchemaResponse> {
        Err(status::feature_off("Schemas.DeleteSchema"))
    }
}
