//! gRPC's reflection in both versions, live: what is registered is answered for from then on.
//!
//! The questions and answers of both versions are alike, but each has types of its own.

use std::sync::Arc;

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tonic::{Code, Request, Response, Status, Streaming, async_trait};
use tonic_reflection::pb;

use super::status;
use crate::{
    limits::{REFLECTION_REQUEST_BYTES_MAX, REFLECTION_REQUESTS_MAX},
    proto,
    schema::{
        Registry,
        reflection::{Answer, NotFound, Question, Reflection},
    },
};

/// Of one version, which serves its own descriptors among ours.
#[derive(Debug, Clone)]
pub(super) struct ReflectionService {
    reflection: Arc<Reflection>,
}

/// What every connection is offered.
#[derive(Debug, Clone)]
pub(super) struct Reflections {
    v1: ReflectionService,
    v1alpha: ReflectionService,
}

type V1 = pb::v1::server_reflection_server::ServerReflectionServer<ReflectionService>;
type V1Alpha = pb::v1alpha::server_reflection_server::ServerReflectionServer<ReflectionService>;

/// What is answered instead.
struct Refused {
    code: Code,
    message: String,
}

impl Reflections {
    pub(super) fn new(registry: &Arc<Registry>) -> Reflections {
        let of = |version: &'static [u8]| {
            let own = [
                proto::DESCRIPTORS,
                tonic_health::pb::FILE_DESCRIPTOR_SET,
                // Without these a person with grpcurl would see the details of an error as base64.
                tonic_types::pb::FILE_DESCRIPTOR_SET,
                version,
            ];
            let reflection = Arc::new(Reflection::new(&own, registry.clone()));
            ReflectionService { reflection }
        };
        Reflections {
            v1: of(pb::v1::FILE_DESCRIPTOR_SET),
            v1alpha: of(pb::v1alpha::FILE_DESCRIPTOR_SET),
        }
    }

    pub(super) fn servers(&self) -> (V1, V1Alpha) {
        let limit = REFLECTION_REQUEST_BYTES_MAX;
        (
            V1::new(self.v1.clone()).max_decoding_message_size(limit),
            V1Alpha::new(self.v1alpha.clone()).max_decoding_message_size(limit),
        )
    }
}

impl ReflectionService {
    /// Elsewhere than where streams are served: it may take a moment.
    async fn answer(&self, question: Question) -> Result<Result<Answer, Refused>, Status> {
        let reflection = self.reflection.clone();
        let answered = tokio::task::spawn_blocking(move || reflection.answer(&question)).await;
        Ok(answered.map_err(|_| status::bug())?.map_err(Refused::from))
    }
}

impl From<NotFound> for Refused {
    fn from(error: NotFound) -> Refused {
        let code = match error {
            NotFound::NameTooLong { .. } => Code::InvalidArgument,
            NotFound::File(_) | NotFound::Symbol(_) | NotFound::Extension { .. } => Code::NotFound,
        };
        Refused { code, message: error.to_string() }
    }
}

impl Refused {
    fn nothing_asked() -> Refused {
        let message = "message_request is not set: ask for something".to_owned();
        Refused { code: Code::InvalidArgument, message }
    }

    fn too_many() -> Refused {
        let message = format!(
            "{REFLECTION_REQUESTS_MAX} requests were answered on this stream: ask on another one"
        );
        Refused { code: Code::ResourceExhausted, message }
    }
}

/// A module of this name has the messages and the server.
macro_rules! reflection {
    ($version:ident) => {
        const _: () = {
            use pb::$version::{
                ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse,
                ListServiceResponse, ServerReflectionRequest, ServerReflectionResponse,
                ServiceResponse, server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
                server_reflection_server::ServerReflection,
            };

            #[async_trait]
            impl ServerReflection for ReflectionService {
                type ServerReflectionInfoStream =
                    BoxStream<'static, Result<ServerReflectionResponse, Status>>;

                /// Answers one by one: no request is read before the answer to the last one is taken.
                async fn server_reflection_info(
                    &self,
                    requests: Request<Streaming<ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    let begin = (self.clone(), requests.into_inner(), 0);
                    let answers =
                        stream::try_unfold(begin, async |(service, mut requests, count)| {
                            if count > REFLECTION_REQUESTS_MAX {
                                return Ok(None);
                            }
                            let Some(request) = requests.message().await? else { return Ok(None) };
                            let answered = match question(&request) {
                                _ if count == REFLECTION_REQUESTS_MAX => Err(Refused::too_many()),
                                Some(question) => service.answer(question).await?,
                                None => Err(Refused::nothing_asked()),
                            };
                            let response = response(request, answered);
                            Ok(Some((response, (service, requests, count + 1))))
                        });
                    Ok(Response::new(answers.boxed()))
                }
            }

            fn question(request: &ServerReflectionRequest) -> Option<Question> {
                Some(match request.message_request.clone()? {
                    MessageRequest::ListServices(_) => Question::Services,
                    MessageRequest::FileByFilename(path) => Question::File { path },
                    MessageRequest::FileContainingSymbol(name) => Question::Symbol { name },
                    MessageRequest::FileContainingExtension(asked) => Question::Extension {
                        of: asked.containing_type,
                        number: asked.extension_number,
                    },
                    MessageRequest::AllExtensionNumbersOfType(of) => {
                        Question::ExtensionNumbers { of }
                    }
                })
            }

            fn response(
                request: ServerReflectionRequest,
                answered: Result<Answer, Refused>,
            ) -> ServerReflectionResponse {
                let message_response = match answered {
                    Ok(Answer::Services(names)) => {
                        let service = names.into_iter().map(|name| ServiceResponse { name });
                        let service = service.collect();
                        MessageResponse::ListServicesResponse(ListServiceResponse { service })
                    }
                    Ok(Answer::Files(files)) => {
                        let file_descriptor_proto = files.into_iter().map(Vec::from).collect();
                        let files = FileDescriptorResponse { file_descriptor_proto };
                        MessageResponse::FileDescriptorResponse(files)
                    }
                    Ok(Answer::Numbers(extension_number)) => {
                        let base_type_name = match &request.message_request {
                            Some(MessageRequest::AllExtensionNumbersOfType(of)) => of.clone(),
                            _ => String::new(),
                        };
                        let numbers = ExtensionNumberResponse { base_type_name, extension_number };
                        MessageResponse::AllExtensionNumbersResponse(numbers)
                    }
                    Err(Refused { code, message: error_message }) => {
                        let error_code = code.into();
                        MessageResponse::ErrorResponse(ErrorResponse { error_code, error_message })
                    }
                };
                ServerReflectionResponse {
                    valid_host: request.host.clone(),
                    original_request: Some(request),
                    message_response: Some(message_response),
                }
            }
        };
    };
}

reflection!(v1);
reflection!(v1alpha);
